package policy

import (
	"net/netip"
	"slices"
)

// mergeRanges sorts ranges, IPv4 before IPv6, and joins those that overlap or touch. It may
// reuse its argument.
func mergeRanges(in []Range) []Range {
	if isMerged(in) {
		return in
	}
	var v4 []uint64 // first address in the upper half, last in the lower: sorts much faster than netip.Addr
	var v6 []Range
	for _, r := range in {
		if r.From.Is4() {
			v4 = append(v4, uint64(v4Number(r.From))<<32|uint64(v4Number(r.To)))
		} else {
			v6 = append(v6, r)
		}
	}
	slices.Sort(v4)
	slices.SortFunc(v6, func(a, b Range) int { return a.From.Compare(b.From) })
	out := in[:0]
	for i := 0; i < len(v4); {
		from, to := uint32(v4[i]>>32), uint32(v4[i])
		for i++; i < len(v4) && v4[i]>>32 <= uint64(to)+1; i++ {
			to = max(to, uint32(v4[i]))
		}
		out = append(out, Range{v4Addr(from), v4Addr(to)})
	}
	for i := 0; i < len(v6); {
		r := v6[i]
		for i++; i < len(v6) && touches(r.To, v6[i].From); i++ {
			if r.To.Less(v6[i].To) {
				r.To = v6[i].To
			}
		}
		out = append(out, r)
	}
	return out
}

// touches reports whether a range that ends at to reaches one that starts, not earlier, at from.
func touches(to, from netip.Addr) bool {
	next := to.Next()
	return !next.IsValid() || !next.Less(from)
}

// isMerged reports whether ranges are in their final form already, as well-kept lists are.
func isMerged(in []Range) bool {
	for i := 1; i < len(in); i++ {
		a, b := in[i-1], in[i]
		switch {
		case a.From.Is4() && b.From.Is4():
			if uint64(v4Number(b.From)) <= uint64(v4Number(a.To))+1 {
				return false
			}
		case !a.From.Is4() && !b.From.Is4():
			if !a.To.Less(b.From) || touches(a.To, b.From) {
				return false
			}
		case b.From.Is4():
			return false
		}
	}
	return true
}

// Every address of each family.
var (
	allIPv4 = Range{netip.IPv4Unspecified(), v4Addr(^uint32(0))}
	allIPv6 = PrefixRange(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
)

// subtractRanges returns what of merged ranges a is not in merged ranges b.
func subtractRanges(a, b []Range) []Range {
	var out []Range
	j := 0
	for _, r := range a {
		for j < len(b) && b[j].To.Less(r.From) {
			j++
		}
		whole := true // something of r is left
		for k := j; k < len(b) && !r.To.Less(b[k].From); k++ {
			if r.From.Less(b[k].From) {
				out = append(out, Range{r.From, b[k].From.Prev()})
			}
			if !b[k].To.Less(r.To) {
				whole = false
				break
			}
			r.From = b[k].To.Next()
		}
		if whole {
			out = append(out, r)
		}
	}
	return out
}

// containsRanges reports whether every address of merged b is in merged a.
func containsRanges(a, b []Range) bool {
	for _, r := range b {
		i, found := slices.BinarySearchFunc(a, r.From, func(x Range, from netip.Addr) int { return x.From.Compare(from) })
		if !found {
			i--
		}
		if i < 0 || a[i].From.Is4() != r.From.Is4() || a[i].To.Less(r.To) {
			return false
		}
		a = a[i:]
	}
	return true
}

// familiesOf returns which families ranges are of.
func familiesOf(ranges []Range) families {
	var f families
	if len(ranges) > 0 && ranges[0].From.Is4() {
		f |= only4
	}
	if len(ranges) > 0 && !ranges[len(ranges)-1].From.Is4() {
		f |= only6
	}
	return f
}

// families is a set of IP versions.
type families uint8

const (
	only4 families = 1 << iota
	only6
	both = only4 | only6
)

func (f families) String() string {
	switch f {
	case only4:
		return "IPv4"
	case only6:
		return "IPv6"
	case both:
		return "IPv4 and IPv6"
	}
	return "no IP version"
}

func familyOf(a netip.Addr) families {
	if a.Is4() {
		return only4
	}
	return only6
}
