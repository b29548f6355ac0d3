package policy

import (
	"slices"
	"strings"

	"pbr/compiler/interval"
	"pbr/compiler/ipproto"
	"pbr/compiler/slab"
)

// match is what a policy selects, in a form in which two policies compare exactly: one covers
// another if each of its fields contains the other's.
type match struct {
	src, dst     *addrSet
	proto        [4]uint64 // a bit per protocol
	sport, dport intervals
	dscp         uint64 // a bit per code point
	// policy has the fields that compare as they are.
	policy *Policy
}

// from is where the policy's packets come from.
func (p *Policy) from() fromSet { return fromSet{p.Local, p.Forwarded, p.From} }

// addrSet is a set of addresses.
type addrSet struct {
	any    bool
	ranges []Range // merged; unset if any or opaque
	// opaque sets have a list whose content changes without the policy file: only a set that is the
	// same, or any, contains them.
	opaque bool
	// popularity counts the policies that have the set as src and as dst.
	popularity [2]int
}

// numbers is an inclusive interval of ports or protocols.
type numbers struct{ From, To uint32 }

// intervals are merged (see package interval); nil is anything.
type intervals []numbers

// fromSet is where packets come from.
type fromSet struct {
	local, forwarded bool
	items            []NameItem // of forwarded packets; none is any
}

// matcher makes matches; it makes equal address sets once.
type matcher struct {
	p    *parser
	sets map[string]*addrSet
	// any is the set of all addresses.
	any *addrSet
	sig []byte
	// spans has the ports of all.
	spans slab.Of[numbers]
}

func newMatcher(p *parser) *matcher {
	return &matcher{p: p, sets: map[string]*addrSet{}, any: &addrSet{any: true}}
}

var allProtos = [4]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}

// policy returns what a policy matches.
func (m *matcher) policy(pol *Policy) match {
	out := match{
		proto:  protoSet(pol),
		sport:  m.portSet(pol.SPort),
		dport:  m.portSet(pol.DPort),
		dscp:   codePoints(pol.DSCP),
		policy: pol,
	}
	fam := m.p.policyVersions(pol)
	out.src, out.dst = m.addrs(pol.Src, fam), m.addrs(pol.Dst, fam)
	return out
}

// codePoints are the code points that a policy selects, one bit each.
func codePoints(items []NumItem) uint64 {
	var in, out uint64
	for _, item := range items {
		for n := item.From; n <= item.To; n++ {
			if item.Not {
				out |= 1 << n
			} else {
				in |= 1 << n
			}
		}
	}
	if in == 0 {
		in = ^uint64(0)
	}
	return in &^ out
}

// empty reports whether nothing can match, for another reason than an empty list.
func (m *match) empty() bool {
	return m.proto == [4]uint64{} || m.dscp == 0 || m.sport != nil && len(m.sport) == 0 || m.dport != nil && len(m.dport) == 0 ||
		m.src.empty() || m.dst.empty()
}

func (s *addrSet) empty() bool { return !s.any && !s.opaque && len(s.ranges) == 0 }

// addrs returns the set of entries, of the IP versions that all fields together allow.
func (m *matcher) addrs(items []AddrItem, fam families) *addrSet {
	if len(items) == 0 && fam == both {
		return m.any
	}
	m.sig = append(m.sig[:0], byte(fam))
	for _, item := range items {
		m.sig = append(m.sig, '+')
		if item.Not {
			m.sig[len(m.sig)-1] = '-'
		}
		if item.List != "" {
			m.sig = append(append(append(m.sig, '@'), item.List...), 0)
			continue
		}
		m.sig = append(m.sig, '=', byte(familyOf(item.Range.From)))
		m.sig = append(m.sig, item.Range.From.AsSlice()...)
		m.sig = append(m.sig, item.Range.To.AsSlice()...)
	}
	set := m.sets[string(m.sig)]
	if set == nil {
		set = m.build(items, fam)
		m.sets[string(m.sig)] = set
	}
	return set
}

// build makes a set from its entries.
func (m *matcher) build(items []AddrItem, fam families) *addrSet {
	if len(items) == 1 && items[0].List != "" && !items[0].Not && fam == both {
		if l := m.p.list(items[0].List); !l.Variable() {
			return &addrSet{ranges: l.Ranges} // as it is: it may be large
		}
	}
	var in, out []Range
	positive := false
	for _, item := range items {
		ranges := []Range{item.Range}
		if item.List != "" {
			l := m.p.list(item.List)
			if l.Variable() {
				return &addrSet{opaque: true}
			}
			ranges = l.Ranges
		}
		if item.Not {
			out = append(out, ranges...)
		} else {
			positive = true
			in = append(in, ranges...)
		}
	}
	if !positive {
		in = []Range{allIPv4, allIPv6}
	}
	in = mergeRanges(in)
	if len(out) > 0 {
		in = subtractRanges(in, mergeRanges(out))
	}
	if fam != both {
		in = slices.DeleteFunc(in, func(r Range) bool { return familyOf(r.From)&fam == 0 })
	}
	if len(in) == 2 && in[0] == allIPv4 && in[1] == allIPv6 {
		return m.any
	}
	return &addrSet{ranges: in}
}

// protoSet returns a policy's protocols: ports without a protocol mean TCP and UDP, ICMP types
// mean their protocols.
func protoSet(pol *Policy) [4]uint64 {
	set, without := [4]uint64{}, [4]uint64{}
	positive := false
	for _, item := range pol.Proto {
		if item.Not {
			setBit(&without, item.From)
		} else {
			positive = true
			setBit(&set, item.From)
		}
	}
	if !positive {
		switch {
		case len(pol.SPort)+len(pol.DPort) > 0:
			setBit(&set, ipproto.TCP)
			setBit(&set, ipproto.UDP)
		case len(pol.ICMP) > 0:
			for _, item := range pol.ICMP {
				setBit(&set, map[int]uint32{4: ipproto.ICMP, 6: ipproto.ICMPv6}[item.Family])
			}
		default:
			set = allProtos
		}
	}
	for i := range set {
		set[i] &^= without[i]
	}
	return set
}

func setBit(set *[4]uint64, n uint32) { set[n/64] |= 1 << (n % 64) }

// portSet returns the ports of entries; nil for all.
func (m *matcher) portSet(items []PortItem) intervals {
	if len(items) == 0 {
		return nil
	}
	in, out := intervals(m.spans.Take(len(items))), intervals(nil)
	for _, item := range items {
		span := numbers{uint32(item.From), uint32(item.To)}
		if item.Not {
			out = append(out, span)
		} else {
			in = append(in, span)
		}
	}
	if len(in) == 0 {
		in = intervals{{0, 65535}}
	}
	in = in.merged()
	if len(out) == 0 {
		return in
	}
	return in.without(out.merged())
}

// numberSet returns the numbers of entries, none of them negated; nil for all.
func numberSet(items []NumItem) intervals {
	var in intervals
	for _, item := range items {
		in = append(in, numbers{item.From, item.To})
	}
	return in.merged()
}

func (in intervals) merged() intervals { return interval.Merge(interval.Numbers{}, in) }

// without returns merged intervals less other merged ones; never nil.
func (in intervals) without(out intervals) intervals {
	return append(intervals{}, interval.Subtract(interval.Numbers{}, in, out)...)
}

// contains reports whether all of b is in a.
func (in intervals) contains(b intervals) bool {
	if in == nil {
		return true
	}
	if b == nil {
		return false
	}
	return interval.Contains(interval.Numbers{}, in, b)
}

// contains reports whether all of b is in s.
func (s *addrSet) contains(b *addrSet) bool {
	if s == b || s.any {
		return true
	}
	return !s.opaque && !b.opaque && !b.any && containsRanges(s.ranges, b.ranges)
}

// covers reports whether every packet that b matches is one that m matches.
func (m *match) covers(b *match) bool {
	for i := range m.proto {
		if b.proto[i]&^m.proto[i] != 0 {
			return false
		}
	}
	return b.dscp&^m.dscp == 0 && m.dport.contains(b.dport) && m.sport.contains(b.sport) &&
		m.src.contains(b.src) && m.dst.contains(b.dst) && m.policy.coversRest(b.policy)
}

// coversRest reports whether p covers b in the fields that compare as they are.
func (p *Policy) coversRest(b *Policy) bool {
	mine, theirs := p.from(), b.from()
	return numberSet(p.UID).contains(numberSet(b.UID)) && numberSet(p.GID).contains(numberSet(b.GID)) &&
		(len(p.Marks) == 0 || sameMarks(p.Marks, b.Marks)) && mine.contains(&theirs) &&
		containsAll(p.MAC, b.MAC, func(x, y MACItem) bool { return x.Addr == y.Addr }) &&
		containsAll(p.ICMP, b.ICMP, func(x, y ICMPItem) bool { return x.Family == y.Family && x.Type == y.Type }) &&
		containsAll(p.Cgroups, b.Cgroups, withinCgroup) && containsAll(p.Units, b.Units, samePrograms) &&
		(len(p.Schedule) == 0 || sameTimes(p.Schedule, b.Schedule))
}

// containsAll reports whether a selects all that b selects; an empty one selects everything.
func containsAll[T any](a, b []T, same func(x, y T) bool) bool {
	if len(a) == 0 {
		return true
	}
	if len(b) == 0 {
		return false
	}
	for _, y := range b {
		if !slices.ContainsFunc(a, func(x T) bool { return same(x, y) }) {
			return false
		}
	}
	return true
}

// contains reports whether f has all of b's packets. It may say no for interface patterns that
// only together contain another's; never yes wrongly.
func (f *fromSet) contains(b *fromSet) bool {
	if b.local && !f.local || b.forwarded && !f.forwarded {
		return false
	}
	if !b.forwarded || len(f.items) == 0 {
		return true
	}
	positive := false
	for _, mine := range f.items {
		if !mine.Not {
			positive = true
		} else if !b.avoids(mine.Name) {
			return false
		}
	}
	if !positive {
		return true
	}
	named := false
	for _, theirs := range b.items {
		if theirs.Not {
			continue
		}
		named = true
		if !slices.ContainsFunc(f.items, func(mine NameItem) bool { return !mine.Not && patternContains(mine.Name, theirs.Name) }) {
			return false
		}
	}
	return named
}

// avoids reports whether no packet of f comes from interfaces of that pattern.
func (f *fromSet) avoids(pattern string) bool {
	positive := false
	for _, item := range f.items {
		if item.Not && patternContains(item.Name, pattern) {
			return true
		}
		positive = positive || !item.Not
	}
	return positive && !slices.ContainsFunc(f.items, func(item NameItem) bool {
		return !item.Not && patternsMeet(item.Name, pattern)
	})
}

// patternContains reports whether a matches every interface that b does.
func patternContains(a, b string) bool {
	prefix, wild := strings.CutSuffix(a, "*")
	if !wild {
		return a == b
	}
	return strings.HasPrefix(strings.TrimSuffix(b, "*"), prefix)
}

// patternsMeet reports whether some interface matches both.
func patternsMeet(a, b string) bool { return patternContains(a, b) || patternContains(b, a) }
