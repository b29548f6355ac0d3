package layers

import (
	"pbr/compiler/plan"
)

const (
	// maxEntries is how many boxes one selection becomes; one with more stays a rule, which looks
	// its lists up in sets: those are in memory once, however many policies use them.
	maxEntries = 64
	// maxNegated is how many intervals are left of a negated selector in a map.
	maxNegated = 4
	// maxBoxes bounds the memory: with more boxes than that, policies of the most boxes stay rules.
	// One is 32 bytes, and 32 for each field.
	maxBoxes = 1 << 18
	// maxBounds is how many boxes a rule is bounded by.
	maxBounds = 16
	// maxFields is how many fields a map's key has.
	maxFields = len(plan.FieldList{})
)

// item is one selection of one policy.
type item struct {
	policy  int32
	matches []plan.Match
	// rule means that it stays a rule; its boxes are then bounds.
	rule bool
	// exact means that the boxes are together exactly what is selected.
	exact    bool
	from, to int32 // of the builder's boxes
}

// region is what a selection selects, as lists of intervals.
type region struct {
	in     [dimCount]keySpans
	family plan.Family
	// exact is false if other things are examined, too.
	exact bool
	// none means that nothing is selected.
	none bool
}

// expand makes the items and their boxes.
func (b *builder) expand() {
	selections := 0
	for i := range b.policies {
		selections += len(b.policies[i].Selections)
	}
	b.sets = map[string]keySpans{}
	b.items, b.boxes = make([]item, 0, selections), make([]box, 0, selections)
	for limit := maxEntries; !b.expandUpTo(limit); limit /= 2 {
	}
}

// expandUpTo makes rules of the selections of more boxes than the limit. It gives up if the others
// have too many together, unless the limit is 1.
func (b *builder) expandUpTo(limit int) (done bool) {
	b.items, b.boxes = b.items[:0], b.boxes[:0]
	total := 0
	for i := range b.policies {
		for _, matches := range b.policies[i].Selections {
			r := b.region(matches)
			if r.none {
				continue
			}
			if n := r.entries(); n <= limit {
				total += n
			}
			if total > maxBoxes && limit > 1 {
				return false
			}
			b.items = append(b.items, item{policy: int32(i), matches: matches})
			b.addBoxes(int32(len(b.items)-1), &r, limit)
		}
	}
	return true
}

// entries is how many boxes the region is.
func (r *region) entries() int {
	n := 1
	for d := range dimCount {
		if r.in[d] != nil {
			n *= len(r.in[d])
			if n > maxEntries {
				return maxEntries + 1
			}
		}
	}
	return n
}

// region reads the matches of a selection.
func (b *builder) region(matches []plan.Match) region {
	r := region{exact: true}
	b.single = b.single[:0]
	for i := range matches {
		b.narrow(&r, &matches[i])
	}
	for d := range dimCount {
		r.none = r.none || r.in[d] != nil && len(r.in[d]) == 0
	}
	return r
}

// narrow leaves in r what m holds for, as far as the boxes can tell.
func (b *builder) narrow(r *region, m *plan.Match) {
	if family := m.Family(); family != 0 {
		r.none = r.none || r.family != 0 && r.family != family
		r.family = family
	}
	if m.Field == plan.FieldNFProto && m.Set == "" && !m.Not && m.From == m.To && m.Family() != 0 {
		return
	}
	if p := m.Field.Protocol(); p != 0 {
		only := valueOf(plan.KeyFromUint8(p))
		r.in[dimProto] = r.in[dimProto].and(b.one(keySpan{only, only}))
	}
	d, ok := dimOf[m.Field]
	if !ok || m.Wildcard || m.Mask != 0 || d == dimIface && m.Not {
		r.exact = false
		return
	}
	var list keySpans
	if m.Set == "" {
		list = b.one(keySpan{valueOf(m.From), valueOf(m.To)})
	} else {
		if list = b.valuesOf(m.Set); list == nil {
			r.exact = false
			return
		}
	}
	if m.Not {
		list = list.without(m.Field.Type())
		if len(list) > maxNegated {
			r.exact = false
			return
		}
	}
	if addresses.has(d) && len(list) == 1 && list[0].From == (value{}) && list[0].To.key() == plan.MaxKey(m.Field.Type()) {
		return // all addresses: only the family is selected
	}
	r.in[d] = r.in[d].and(list)
}

// one returns a list of one span, which holds until the next region is read.
func (b *builder) one(s keySpan) keySpans {
	n := len(b.single)
	b.single = append(b.single, s)
	return b.single[n : n+1 : n+1]
}

// valuesOf returns what is in a set, nil if that is not known. Many policies may use one large set.
func (b *builder) valuesOf(set string) keySpans {
	list, ok := b.sets[set]
	if !ok {
		if s := b.lookUp(set); s != nil {
			list = keySpansOf(s.Elements)
		}
		b.sets[set] = list
	}
	return list
}

// addBoxes adds the boxes of an item, or, if a map cannot hold it, boxes that contain it.
func (b *builder) addBoxes(i int32, r *region, limit int) {
	it := &b.items[i]
	it.exact = r.exact
	var fields dimSet
	for d := range dimCount {
		if r.in[d] != nil {
			fields |= 1 << d
		}
	}
	it.rule = !r.exact || r.entries() > limit || fields.count() > maxFields || fields&ports != 0 && !fields.has(dimProto)
	if it.rule {
		for r.entries() > maxBounds {
			longest := dim(0)
			for d := range dimCount {
				if len(r.in[d]) > len(r.in[longest]) {
					longest = d
				}
			}
			r.in[longest] = r.in[longest].hull()
			it.exact = false
		}
	}
	it.from = int32(len(b.boxes))
	b.product(r, &box{family: r.family, fields: fields, exact: it.exact, item: i}, fields, b.chosen[:0])
	it.to = int32(len(b.boxes))
}

// product adds a box for every choice of one interval for each field that is left, after those that
// are chosen.
func (b *builder) product(r *region, one *box, left dimSet, chosen []keySpan) {
	if left == 0 {
		one.in = b.spans.Keep(chosen)
		b.boxes = append(b.boxes, *one)
		return
	}
	for _, i := range r.in[left.first()] {
		b.product(r, one, left.rest(), append(chosen, i))
	}
}
