package plan

import (
	"slices"
	"strings"
)

// SetPrimary names the set with the interface of default's primary uplink, whose connections of a
// family carry no mark.
func SetPrimary(family Family) string {
	if family == IPv4 {
		return "primary-4"
	}
	return "primary-6"
}

// Parts of the names of lists' sets.
const (
	listPrefix  = "list-"
	listSuffix4 = "-4"
	listSuffix6 = "-6"
)

// ListSet names the set that has the addresses of a list and an IP version: of a run-time list
// those that are added while the policy is in force, of any other one all of them.
func ListSet(list string, family Family) string {
	if family == IPv4 {
		return listPrefix + list + listSuffix4
	}
	return listPrefix + list + listSuffix6
}

// ListOf is the opposite of ListSet; ok is false for the name of another set.
func ListOf(set string) (list string, family Family, ok bool) {
	list, ok = strings.CutPrefix(set, listPrefix)
	if !ok {
		return "", 0, false
	}
	if list, ok = strings.CutSuffix(list, listSuffix4); ok {
		return list, IPv4, true
	}
	list, ok = strings.CutSuffix(list, listSuffix6)
	return list, IPv6, ok
}

// Ruleset is the content of nftables table inet pbr. Order: counters, flowtables and sets by name,
// chains as the compiler gives them (regular ones before the base chains that use them).
// An empty Ruleset means that the table is not there.
type Ruleset struct {
	Counters   []Counter
	Flowtables []Flowtable
	Sets       []Set
	Chains     []Chain
	// Foreign lists, in live plans, objects of the table that pbr never makes ("quota x",
	// table flags), in nft's words.
	Foreign []string
}

// Has reports whether a set has an element that begins with a key.
func (r *Ruleset) Has(set string, key Key) bool {
	return slices.ContainsFunc(r.Sets, func(s Set) bool {
		return s.Name == set && slices.ContainsFunc(s.Elements, func(e Element) bool { return e.From == key })
	})
}

// Empty reports whether there is nothing in the table, and so no table.
func (r *Ruleset) Empty() bool {
	return len(r.Counters) == 0 && len(r.Flowtables) == 0 && len(r.Sets) == 0 && len(r.Chains) == 0 && len(r.Foreign) == 0
}

// Counter is a named counter. Its packets and bytes are live values, not part of the plan.
type Counter struct {
	Name    string
	Comment string
}

// Type is the type of a set's keys, or of a match's value.
type Type uint8

// The key types, with nft's names and the width in bytes of their Key.
const (
	TypeIfname      Type = iota + 1 // ifname, 16
	TypeIPv4                        // ipv4_addr, 4
	TypeIPv6                        // ipv6_addr, 16
	TypePort                        // inet_service, 2
	TypeProto                       // inet_proto, 1
	TypeMark                        // mark, 4
	TypeEther                       // ether_addr, 6
	TypeUID                         // uid, 4
	TypeICMPType                    // icmp_type, 1
	TypeICMPv6Type                  // icmpv6_type, 1
	TypeDSCP                        // dscp, 1 (the code point, 0..63)
	TypeNFProto                     // nf_proto, 1 (NFPROTO_IPV4 2, NFPROTO_IPV6 10)
	TypeCTState                     // ct_state, 4 (bits)
	TypeCTStatus                    // ct_status, 4 (bits)
	TypeFibAddrType                 // fib_addrtype, 4 (RTN_*)
	TypeNumber                      // what jhash and numgen give, 4; nft has no name for it, only "typeof"
	TypePresence                    // boolean, 4: whether there is such a thing
	TypeClass                       // classid, 4: a packet's priority
	TypeCTDir                       // ct_dir, 1: IP_CT_DIR_ORIGINAL 0, IP_CT_DIR_REPLY 1
	TypeGID                         // gid, 4
	TypeTime                        // a time, 8: nanoseconds since 1970, in whole seconds; nft has no name for it in sets, only "typeof"
	TypeCgroup                      // cgroupsv2, 8: the inode number of a control group
)

// Key is one value, big-endian, in its first Type.Width() bytes; the rest is zero.
// An interface name is its bytes. Comparing Keys byte by byte orders them as numbers.
type Key [16]byte

// Element is one entry of a set or map. From == To is a single value; otherwise an
// inclusive interval, which needs Set.Interval.
type Element struct {
	From, To Key
	// Goto is the chain that a verdict map goes to; empty in a set.
	Goto string
	// Jump makes it a jump: the packet comes back from the chain if nothing there decides on it.
	Jump bool
	// Counter is the name of what the packets of this element are counted for, in a map that is
	// Counted; empty for nothing.
	Counter string
}

// Tuple is one entry of a set or map whose key has several fields: an inclusive interval in each of
// them. A packet is in it when every field is.
type Tuple struct {
	// From and To have the fields one after the other, as the kernel has them: each of Set.Concat's
	// types big-endian in its width, padded with zeros to a multiple of 4 bytes (NFT_REG32_SIZE,
	// linux/netfilter/nf_tables.h).
	From, To string
	// Goto is the chain that a verdict map goes to; empty in a set.
	Goto string
	// Counter is as an Element's.
	Counter string
}

// Set is a named set, or with Map set a map from Type to verdicts, or with Data too to values of
// that type.
type Set struct {
	Name string
	// Type is the type of the key; 0 if the key has several fields.
	Type Type
	// Concat has the types of a key of several fields, in their order; then Tuples are the
	// elements, and Elements is empty.
	Concat []Type
	// Interval allows elements with From != To; they never overlap and are sorted.
	Interval bool
	// Map makes it a map. Without Data its elements are verdicts: each has a Goto.
	Map bool
	// Data is the type of the values of a map that packets fill (Dynamic), 0 in all others.
	Data Type
	// Counted makes each element of a map count its packets. The count is no part of a plan; one
	// that stands for the same Counter is kept when elements come and go.
	Counted bool
	// Dynamic makes it a map that packets fill, by Remember, with elements that live for a time.
	// They are no part of a plan: Elements is empty.
	Dynamic bool
	// RunTime makes it a set of addresses that others fill while it stands, by elements that may
	// have a time to live: pbr lists, pbr watch, dnsmasq. These are no part of a plan: Elements is
	// empty. The set's name is the same for good, and a set that is recreated gets the members of
	// the old one.
	RunTime bool `json:"Living"` // the field's name in the file of the state before an apply
	// Size is how many elements a dynamic map or a run-time set takes.
	Size    uint32
	Comment string
	// Elements are sorted by From.
	Elements []Element
	// Tuples are sorted by From. With Interval they never overlap in all fields at once.
	Tuples []Tuple
	// Foreign has, in live plans, properties that pbr never sets ("timeout 1h").
	Foreign string
}

// OfAddresses reports whether the keys are addresses.
func (s *Set) OfAddresses() bool { return s.Type == TypeIPv4 || s.Type == TypeIPv6 }

// Priorities of the kernel's own hooks and of chains beside them (linux/netfilter_ipv4.h).
const (
	// PriorityConntrack is connection tracking's: only before it can a packet be kept from it.
	PriorityConntrack = -200
	// PriorityMangle is where chains mark packets: after connection tracking, and before
	// destination NAT.
	PriorityMangle = -150
)

// Chain is a chain; Hook is empty for a regular one.
type Chain struct {
	Name string
	// Kind is "filter", "nat" or "route" on base chains.
	Kind string
	// Hook is "prerouting", "input", "forward", "output" or "postrouting".
	Hook string
	// Priority is the number, as PriorityMangle.
	Priority int32
	Rules    []ChainRule
	// Foreign has, in live plans, properties that pbr never sets ("policy drop").
	Foreign string
}

// ChainRule is one rule of a chain. Matches are tried in order, then Actions done in order.
type ChainRule struct {
	Matches []Match
	Actions Actions
	// Comment is at most 127 bytes (NFTNL_UDATA_COMMENT_MAXLEN); the object of the policy file that
	// the rule came from.
	Comment string
	// Foreign is set, in live plans only, when the rule is none that pbr could have made: a
	// printable description of its expressions, equal only for equal expressions. Matches and
	// Actions are then empty.
	Foreign string
}

// Field is what a match reads.
type Field uint8

const (
	FieldIIFName         Field = iota + 1 // iifname
	FieldOIFName                          // oifname
	FieldNFProto                          // meta nfproto
	FieldL4Proto                          // meta l4proto
	FieldIPSAddr                          // ip saddr
	FieldIPDAddr                          // ip daddr
	FieldIP6SAddr                         // ip6 saddr
	FieldIP6DAddr                         // ip6 daddr
	FieldSPort                            // th sport
	FieldDPort                            // th dport
	FieldICMPType                         // icmp type
	FieldICMPv6Type                       // icmpv6 type
	FieldDSCP4                            // ip dscp
	FieldDSCP6                            // ip6 dscp
	FieldEtherSAddr                       // ether saddr
	FieldSKUID                            // meta skuid
	FieldMark                             // meta mark & Mask
	FieldCTMark                           // ct mark & Mask
	FieldCTState                          // ct state & Mask
	FieldCTStatus                         // ct status & Mask
	FieldFibSAddrType                     // fib saddr type
	FieldFibDAddrType                     // fib daddr type
	FieldFibSAddrOIFType                  // fib saddr . oif type
	// FieldFibSAddrBack is fib saddr . mark . iif oif: 1 if a route to the source leads through the
	// interface that the packet arrived on, else 0.
	FieldFibSAddrBack
	FieldPriority    // meta priority
	FieldCTDirection // ct direction
	FieldCTOrigDPort // ct original proto-dst
	FieldSKGID       // meta skgid
	FieldTime        // meta time
	// The ancestors of a socket's control group (cgroup v2), by level: socket cgroupv2 level 1 to
	// limits.CgroupLevels. See CgroupField.
	FieldCgroup1
	FieldCgroup2
	FieldCgroup3
	FieldCgroup4
	FieldCgroup5
	FieldCgroup6
	FieldCgroup7
	FieldCgroup8
)

// ProbePriority is the priority of the packets of health checks (SO_PRIORITY, socket(7)), by which
// they are told from others. The kernel's own priorities end at 15, and traffic classes have a
// number in the upper 16 bits.
const ProbePriority = 112

// Match compares one field. A field that needs a family or protocol (ip saddr, icmp type, th dport)
// carries it implicitly, as in nft: IPv4/IPv6 fields test meta nfproto themselves (encoder and nft
// both add the dependency), FieldICMPType and FieldICMPv6Type test meta l4proto likewise;
// FieldSPort and FieldDPort do not, the rule has a FieldL4Proto match before them. Before
// FieldCTOrigDPort it has one of a single protocol: nft asks for that.
//
// It is one struct, unlike Action: Field, Mask and Not hold for every match, and only what is
// compared with has three forms (Set, Wildcard, From to To), which each reader tells apart in one
// switch. Values are compared by ==, and 100,000 policies make some of them each.
type Match struct {
	Field Field
	// Not inverts the comparison.
	Not bool
	// Wildcard, on interface names, makes From a prefix ("wg*").
	Wildcard bool
	// Mask is applied before comparing, for marks, ct state and ct status; 0 elsewhere.
	Mask uint32
	// Set names a set to look in; if empty the value must be in From..To, inclusive.
	// For FieldCTState and FieldCTStatus, From == To == 0 with Not means "any bit of Mask set",
	// without Not "no bit of Mask set".
	Set      string
	From, To Key
}
