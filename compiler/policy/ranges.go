package policy

import (
	"net/netip"
	"slices"

	"pbr/compiler/interval"
	"pbr/compiler/sorting"
)

// mergeRanges sorts ranges, IPv4 before IPv6, and joins those that overlap or touch. It may
// reuse its argument.
func mergeRanges(in []Range) []Range {
	if isMerged(in) {
		return in
	}
	sortRanges(in)
	return interval.Join(interval.Addrs{}, in)
}

// isMerged reports whether ranges are in their final form already, as well-kept lists are.
func isMerged(in []Range) bool { return interval.IsMerged(interval.Addrs{}, in) }

// sortRanges sorts ranges by their first address. Numbers with the first address of an IPv4 range
// in the upper half, and the last in the lower, sort much faster than netip.Addr.
func sortRanges(list []Range) {
	var v4 []uint64
	var v6 []Range
	for _, r := range list {
		if r.From.Is4() {
			v4 = append(v4, uint64(v4Number(r.From))<<32|uint64(v4Number(r.To)))
		} else {
			v6 = append(v6, r)
		}
	}
	slices.Sort(v4)
	sorting.Func(v6, func(a, b Range) int { return a.From.Compare(b.From) })
	for i, n := range v4 {
		list[i] = Range{v4Addr(uint32(n >> 32)), v4Addr(uint32(n))}
	}
	copy(list[len(v4):], v6)
}

// Every address of each family.
var (
	allIPv4 = Range{netip.IPv4Unspecified(), v4Addr(^uint32(0))}
	allIPv6 = PrefixRange(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
)

// subtractRanges returns what of merged ranges a is not in merged ranges b.
func subtractRanges(a, b []Range) []Range { return interval.Subtract(interval.Addrs{}, a, b) }

// containsRanges reports whether every address of merged b is in merged a.
func containsRanges(a, b []Range) bool { return interval.Contains(interval.Addrs{}, a, b) }

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
