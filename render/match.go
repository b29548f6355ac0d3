package render

import (
	"strconv"

	"pbr/compiler/plan"
)

// fieldNames are nft's words for what a match or a verdict map reads. Ports are always "th": the
// rule names its protocols before, and nft lists the pair as "udp dport" itself where there is one.
var fieldNames = [...]string{
	plan.FieldIIFName:         "iifname",
	plan.FieldOIFName:         "oifname",
	plan.FieldNFProto:         "meta nfproto",
	plan.FieldL4Proto:         "meta l4proto",
	plan.FieldIPSAddr:         "ip saddr",
	plan.FieldIPDAddr:         "ip daddr",
	plan.FieldIP6SAddr:        "ip6 saddr",
	plan.FieldIP6DAddr:        "ip6 daddr",
	plan.FieldSPort:           "th sport",
	plan.FieldDPort:           "th dport",
	plan.FieldICMPType:        "icmp type",
	plan.FieldICMPv6Type:      "icmpv6 type",
	plan.FieldDSCP4:           "ip dscp",
	plan.FieldDSCP6:           "ip6 dscp",
	plan.FieldEtherSAddr:      "ether saddr",
	plan.FieldSKUID:           "meta skuid",
	plan.FieldMark:            "meta mark",
	plan.FieldCTMark:          "ct mark",
	plan.FieldCTState:         "ct state",
	plan.FieldCTStatus:        "ct status",
	plan.FieldFibSAddrType:    "fib saddr type",
	plan.FieldFibDAddrType:    "fib daddr type",
	plan.FieldFibSAddrOIFType: "fib saddr . oif type",
	plan.FieldFibSAddrBack:    "fib saddr . mark . iif oif",
	plan.FieldPriority:        "meta priority",
	plan.FieldCTDirection:     "ct direction",
	plan.FieldCTOrigDPort:     "ct original proto-dst",
	plan.FieldSKGID:           "meta skgid",
	plan.FieldTime:            "meta time",
	plan.FieldCgroup1:         "socket cgroupv2 level 1",
	plan.FieldCgroup2:         "socket cgroupv2 level 2",
	plan.FieldCgroup3:         "socket cgroupv2 level 3",
	plan.FieldCgroup4:         "socket cgroupv2 level 4",
	plan.FieldCgroup5:         "socket cgroupv2 level 5",
	plan.FieldCgroup6:         "socket cgroupv2 level 6",
	plan.FieldCgroup7:         "socket cgroupv2 level 7",
	plan.FieldCgroup8:         "socket cgroupv2 level 8",
}

// bitName names one bit of a connection's state or status.
type bitName struct {
	bit  uint32
	name string
}

// ctStates are NF_CT_STATE_BIT of enum ip_conntrack_info (linux/netfilter/nf_conntrack_common.h) in
// nft's order.
var ctStates = []bitName{{1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {0x40, "untracked"}}

// ctStatuses are IPS_* (linux/netfilter/nf_conntrack_common.h) as far as nft 1.0.6 names them.
var ctStatuses = []bitName{
	{1, "expected"}, {2, "seen-reply"}, {4, "assured"}, {8, "confirmed"}, {0x10, "snat"}, {0x20, "dnat"}, {0x200, "dying"},
}

// fieldName is nft's name of f, or for one that does not exist its number.
func fieldName(f plan.Field) string {
	if int(f) < len(fieldNames) && fieldNames[f] != "" {
		return fieldNames[f]
	}
	return "field(" + strconv.Itoa(int(f)) + ")"
}

// appendMasked adds a field, and the mask that is applied before it is examined; 0 and all ones are
// no mask.
func appendMasked(b []byte, f plan.Field, mask uint32) []byte {
	b = append(b, fieldName(f)...)
	if mask != 0 && mask != 0xffffffff {
		b = append(b, " and "...)
		b = appendMark(b, mask)
	}
	return b
}

// appendMatch adds one match of a rule.
func appendMatch(b []byte, m *plan.Match) []byte {
	if names := bitNames(m); names != nil {
		return appendBits(b, m, names)
	}
	b = appendMasked(b, m.Field, m.Mask)
	switch {
	case m.Not:
		b = append(b, " != "...)
	case m.Set == "" && equalsWanted(m.Field):
		b = append(b, " == "...)
	default:
		b = append(b, ' ')
	}
	switch {
	case m.Set != "":
		return append(append(b, '@'), m.Set...)
	case m.Wildcard:
		return appendQuoted(b, m.From.Text()+"*")
	}
	return appendInterval(b, m.Field.Type(), m.From, m.To)
}

// equalsWanted reports whether a field is one of bits: without "==" nft takes the value of these
// for bits to look for, and it would be easy to misread a masked mark.
func equalsWanted(f plan.Field) bool {
	return f == plan.FieldMark || f == plan.FieldCTMark || f == plan.FieldCTState || f == plan.FieldCTStatus
}

// bitNames returns the names to write m with when it asks for any or none of some bits, and nil
// when it does not.
func bitNames(m *plan.Match) []bitName {
	if m.Set != "" || m.Mask == 0 || m.From != (plan.Key{}) || m.To != (plan.Key{}) {
		return nil
	}
	names := ctStates
	switch m.Field {
	case plan.FieldCTState:
	case plan.FieldCTStatus:
		names = ctStatuses
	default:
		return nil
	}
	rest := m.Mask
	for _, n := range names {
		rest &^= n.bit
	}
	if rest != 0 {
		return nil
	}
	return names
}

// appendBits adds "ct state established,related" (any of them) or "ct status ! confirmed" (none).
func appendBits(b []byte, m *plan.Match, names []bitName) []byte {
	b = append(append(b, fieldName(m.Field)...), ' ')
	if !m.Not {
		b = append(b, "! "...)
	}
	first := true
	for _, n := range names {
		if m.Mask&n.bit == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		b, first = append(b, n.name...), false
	}
	return b
}
