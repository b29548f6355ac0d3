package layers

import (
	"cmp"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// shape is what the boxes of one masked look-up have in common.
type shape struct {
	family plan.Family
	fields dimSet
	// src and dst are the lengths of the prefixes, in those fields.
	src, dst uint8
	// ranges means that some interval is neither a prefix nor a single value: no look-up by exact
	// keys finds it.
	ranges bool
}

// group is boxes that one structure holds.
type group struct {
	shape
	boxes []int32
	kind  kind
	// name is the map's.
	name string
}

// kind is the structure.
type kind uint8

const (
	// exact is a map by exact keys, of masked addresses if the shape has prefixes.
	exact kind = iota
	// ranges is a map by intervals.
	ranges
	// singly is a rule for each box.
	singly
)

// step is what one layer becomes: rules kept as they are, and groups.
type step struct {
	rules  []int32 // items
	groups []group
}

// width is the size in bytes of the field's value.
func (d dim) width(f plan.Family) int { return d.field(f).Type().Width() }

// shapeOf returns the shape of a box.
func (b *box) shape() shape {
	s := shape{family: b.family, fields: b.fields}
	for i, left := 0, b.fields; left != 0; i, left = i+1, left.rest() {
		d := left.first()
		switch in := &b.in[i]; {
		case addresses.has(d):
			n, ok := in.prefixBits(d.width(b.family))
			s.ranges = s.ranges || !ok
			if d == dimSrc {
				s.src = uint8(n)
			} else {
				s.dst = uint8(n)
			}
		default:
			s.ranges = s.ranges || in.From != in.To
		}
	}
	if s.ranges {
		s.src, s.dst = 0, 0
	}
	return s
}

// compare orders shapes, for a result that is always the same.
func (s shape) compare(o shape) int {
	r := func(s shape) int {
		if s.ranges {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(s.family, o.family), cmp.Compare(s.fields, o.fields), cmp.Compare(r(s), r(o)),
		cmp.Compare(s.src, o.src), cmp.Compare(s.dst, o.dst))
}

// class is what the shapes of one map of intervals must have in common. A packet without ports, or
// too short for them, fails a look-up that has them; a family's addresses fail that of the other.
// Names of interfaces have no intervals.
type class struct {
	family plan.Family
	// fields are those of the shape that matter here.
	fields dimSet
	ports  bool
}

func (s shape) class() class {
	return class{family: s.family, fields: s.fields & arrival, ports: s.fields&ports != 0}
}

// steps chooses the structures of every layer, and returns them with what they cost a packet that
// passes all of them.
func (b *builder) steps(a *assignment) (steps []step, cost nanoseconds) {
	steps = make([]step, a.count)
	for i := range b.items {
		if it := &b.items[i]; it.rule && it.from < it.to && a.layer[it.from] != unplaced {
			s := &steps[a.layer[it.from]]
			s.rules = append(s.rules, int32(i))
			cost += costRule
		}
	}
	units := b.units(a)
	for l := range steps {
		classes := map[class][]group{}
		for _, u := range units[l] {
			classes[u.class()] = append(classes[u.class()], u)
		}
		for _, units := range classes {
			groups, c := b.divideClass(units)
			steps[l].groups = append(steps[l].groups, groups...)
			cost += c
		}
		sorting.Func(steps[l].groups, func(x, y group) int { return cmp.Or(cmp.Compare(x.kind, y.kind), x.compare(y.shape)) })
	}
	// Layers may have lost all of their boxes to later ones.
	steps = slices.DeleteFunc(steps, func(s step) bool { return len(s.rules)+len(s.groups) == 0 })
	return steps, cost
}

// units returns, for each layer, what is in maps of it, a group for each shape.
func (b *builder) units(a *assignment) [][]group {
	units := make([][]group, a.count)
	for i, s := range b.shapes.list {
		byLayer := map[int32][]int32{}
		all := b.shapes.boxes(i)
		for len(all) > 0 {
			layer, n := b.mapLayer(a, all[0]), 1
			for n < len(all) && b.mapLayer(a, all[n]) == layer {
				n++
			}
			if layer != unplaced {
				byLayer[layer] = append(byLayer[layer], all[:n]...)
			}
			all = all[n:]
		}
		for l, boxes := range byLayer {
			units[l] = append(units[l], group{shape: s, boxes: boxes})
		}
	}
	return units
}

// mapLayer is the layer of a box that a map is to have; unplaced if none is.
func (b *builder) mapLayer(a *assignment, n int32) int32 {
	if b.items[b.boxes[n].item].rule {
		return unplaced
	}
	return a.layer[n]
}

// divideClass makes groups of the units of one class: all that are no group of their own pooled, or
// one pool for each choice of fields, whichever is cheaper.
func (b *builder) divideClass(units []group) ([]group, nanoseconds) {
	// The largest first: they are worth a look-up of their own.
	sorting.Func(units, func(x, y group) int { return cmp.Or(cmp.Compare(len(y.boxes), len(x.boxes)), x.compare(y.shape)) })
	together, cost := b.divide(units)
	byFields := map[dimSet][]group{}
	for _, u := range units {
		byFields[u.fields] = append(byFields[u.fields], u)
	}
	if len(byFields) == 1 {
		return together, cost
	}
	var apart []group
	var sum nanoseconds
	for _, us := range byFields {
		groups, c := b.divide(us)
		apart, sum = append(apart, groups...), sum+c
	}
	if sum < cost {
		return apart, sum
	}
	return together, cost
}

// divide gives the largest units that exact keys can find a map each, as many as is cheapest, and
// pools the rest.
func (b *builder) divide(units []group) (best []group, least nanoseconds) {
	least = never
	var own, rest []group
	for _, u := range units {
		if u.ranges || u.fields == 0 {
			rest = append(rest, u)
		} else {
			own = append(own, u)
		}
	}
	p := pool{b: b}
	for _, u := range rest {
		p.add(u)
	}
	bestOwn, bestKind := 0, exact
	for n := len(own); n >= 0; n-- {
		if n < len(own) {
			p.add(own[n])
		}
		kind, cost := p.cheapest()
		if cost += nanoseconds(n) * (costRule + costHash); cost < least {
			bestOwn, bestKind, least = n, kind, cost
		}
		if b.form == Masks {
			break
		}
	}
	best = slices.Clone(own[:bestOwn])
	if pooled := append(rest, own[bestOwn:]...); len(pooled) > 0 {
		best = append(best, joined(pooled, bestKind))
	}
	return best, least
}

// joined is one group of all units.
func joined(units []group, kind kind) group {
	out := group{shape: units[0].shape, kind: kind}
	if len(units) > 1 {
		out.src, out.dst = 0, 0
	}
	for _, u := range units {
		out.fields |= u.fields
		out.boxes = append(out.boxes, u.boxes...)
	}
	return out
}

// pool is units that share a structure.
type pool struct {
	b      *builder
	family plan.Family
	fields dimSet
	n      int
	// singly reports whether each box can be a rule.
	never bool
}

func (p *pool) add(u group) {
	p.family = u.family
	p.fields |= u.fields
	p.n += len(u.boxes)
	for _, n := range u.boxes {
		p.never = p.never || !p.b.canBeRule(n)
	}
}

// cheapest is the structure for the pool, and its cost.
func (p *pool) cheapest() (kind, nanoseconds) {
	if p.n == 0 {
		return exact, 0
	}
	cost := never
	switch n := p.fields.count(); {
	case n == 0 || n > maxFields:
	case n == 1 && p.fields&arrival == 0:
		cost = costRule + treeCost(p.n)
	case n > 1:
		cost = costRule + rangesCost(p.bytes(), p.n)
	}
	if single := nanoseconds(p.n) * costRule; !p.never && (cost == never || single <= cost && p.b.form == Cheapest) {
		return singly, single
	}
	return ranges, cost
}

// bytes is the size of the pool's keys.
func (p *pool) bytes() (n int) {
	for d := range dimCount {
		if p.fields.has(d) {
			n += d.width(p.family)
		}
	}
	return n
}

// canBeRule reports whether a box can be a rule of its own. Where it compares both ports with
// values it cannot: nft lists neighbours in a packet that are compared with single values as raw
// bytes. If it is the whole selection, the selection's matches do.
func (b *builder) canBeRule(n int32) bool {
	box := &b.boxes[n]
	it := &b.items[box.item]
	return it.to == it.from+1 || box.fields&ports != ports
}

// keepWhole makes rules of selections whose boxes would all be rules: one rule of several boxes is
// cheaper and easier to read. It reports whether there are any.
func (b *builder) keepWhole(steps []step) bool {
	inMaps := make([]bool, len(b.items))
	for _, s := range steps {
		for _, g := range s.groups {
			for _, n := range g.boxes {
				i := b.boxes[n].item
				inMaps[i] = inMaps[i] || g.kind != singly
			}
		}
	}
	any := false
	for i := range b.items {
		if it := &b.items[i]; !it.rule && !inMaps[i] && it.to > it.from+1 {
			it.rule, any = true, true
		}
	}
	return any
}
