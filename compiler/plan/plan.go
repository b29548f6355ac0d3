// Package plan is the vocabulary that every other part of pbr shares: what the kernel
// should hold, or does hold, as plain sorted values. It knows no netlink, clock or file.
//
// The wanted state (made by the compiler) and the live state (read by the kernel side)
// are both a Plan, so diff, apply, drift repair and failover are one operation: want minus have.
package plan

import "net/netip"

// Protocol marks the routes and ip rules that pbr owns (rtm_protocol, rtnetlink(7)).
// The kernel treats every number above RTPROT_STATIC (4) alike; 112 is not in
// iproute2's rt_protos.
const Protocol = 112

// TableName is the one nftables table that pbr owns, of family inet.
const TableName = "pbr"

// PrioritySpan is how many ip rule priorities pbr owns, from the policy's rule-priority on.
const PrioritySpan = 1000

// UnmarkedOffset is the first offset of rules that steer packets without a mark of ours alone, to
// uplinks or past them; those below it leave their routes as they are.
const UnmarkedOffset = 300

// InSpan reports whether a priority is one of those that pbr owns from base on.
func InSpan(base, priority uint32) bool { return priority >= base && priority-base < PrioritySpan }

// Family is an IP version.
type Family uint8

// The two families, by their version numbers.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf returns the IP version of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// AddrType is the type of the family's addresses.
func (f Family) AddrType() Type {
	if f == IPv4 {
		return TypeIPv4
	}
	return TypeIPv6
}

// Families lists both, in the order in which everything is printed and sent.
var Families = [...]Family{IPv4, IPv6}

// Plan is one state of everything that pbr owns.
type Plan struct {
	// Mask has the bits of fwmark and ct mark that pbr owns.
	Mask uint32
	// Inside is the bit of Mask that the ct mark of a pinned connection has besides its number if
	// the connection was opened from inside. The ruleset gives it to no packet's mark, and the
	// rules that select a number do not look at it. It is 0 if the numbers need all bits.
	Inside uint32
	// BasePriority is the first of PrioritySpan owned ip rule priorities.
	BasePriority uint32
	// Numbers name the routing tables and their marks, sorted by name. Readers of a plan use
	// them for comments; a live plan has none.
	Numbers []Number
	// Comments are what the policy file says of its objects, for people who read the plan; a live
	// plan has none.
	Comments []Comment
	Rules    []Rule
	Routes   []Route
	Ruleset  Ruleset
	Sysctls  []Sysctl
	// Deferred is the parts of the policy that cannot be installed yet.
	Deferred []Deferred
	// Dynamic is what only a live machine can tell, filled when the plan was compiled
	// without one (HostFacts.Known false).
	Dynamic []Dynamic
	// Routed are elements of sets that depend on the live machine, likewise.
	Routed []Routed
}

// NumberMask has the bits of Mask that numbers are in.
func (p *Plan) NumberMask() uint32 { return p.Mask &^ p.Inside }

// SelectsNumber reports whether a rule is for the packets that have a number of p in their mark.
func (p *Plan) SelectsNumber(r Rule) bool {
	return r.Mark != 0 && (r.MarkMask == p.Mask || r.MarkMask == p.NumberMask())
}

// Number is a routing table that pbr owns: the user's, an uplink's pinned one, or default's.
type Number struct {
	// Name is unique, and what chains, comments and messages call the table.
	Name string
	// Uplink is set for pinned tables: the uplink that their default route goes through.
	Uplink string
	// Strict means that the table ends in unreachable although its uplink, or the user's table that
	// it is a variant of, does not.
	Strict bool
	// Fallback means that connections pinned to the uplink move back when a better one is usable
	// again.
	Fallback bool
	// Table is the routing table's id.
	Table uint32
	// Mark is the value under Mask that steers packets into it. No rule selects default's: it is 0,
	// or the mark of packets that the policy's ip rules must not see.
	Mark uint32
	// Interface is the uplink's whose pinned table it is; empty for other tables.
	Interface string `json:",omitempty"`
	// Inside means that Mark is that of connections opened from inside; no plan's Numbers have it,
	// only lists of ct marks.
	Inside bool `json:",omitempty"`
}

// Comment is what the policy file says of an object, as "uplink isp1".
type Comment struct{ Object, Text string }

// DefaultName is the name of [default]'s table.
const DefaultName = "default"

// DeferredOffload is Deferred.Object of what [pbr] offload asks for.
const DeferredOffload = "offload"

// DeferredTap is Deferred.Object of what lists of domains ask for.
const DeferredTap = "domains"

// SetTapAlive names the run-time set that shows that pbr watch reads DNS answers: it has the
// protocols tcp and udp as members, for a short time, which pbr watch renews.
const SetTapAlive = "tap-alive"

// SetOwnKnown names the run-time set that has the IP versions whose own addresses are kept in the
// set of SetOwn as members, for a short time, which pbr watch renews.
const SetOwnKnown = "own-known"

// SetOwn names the run-time set that has, while an IP version is in SetOwnKnown, all of the
// router's own addresses of that version, broadcast and anycast ones included, but for those in
// networks of which all addresses are special. It may have others besides.
func SetOwn(family Family) string {
	if family == IPv4 {
		return "own-4"
	}
	return "own-6"
}

// Deferred is a piece of the policy that is left out until the machine is ready for it.
type Deferred struct {
	// Object is what is deferred, as "uplink isp1".
	Object string
	// Uplink is its name if it is an uplink.
	Uplink string
	// Reason says what is missing, as "interface eth1 does not exist".
	Reason string
}

// Routed is an element of a set that is there only while a table has a route of the family: an
// uplink, or a member of a balance, that connections can be sent to.
type Routed struct {
	Family Family
	Table  uint32
	Set    string
	Key    Key
}

// DynamicKind says what a Dynamic stands for.
type DynamicKind uint8

const (
	// SourceRules are the ip rules "from ADDRESS lookup TABLE", one per address of Interface.
	SourceRules DynamicKind = iota + 1
	// ConnectedRules are the ip rules "to NETWORK lookup main", one per connected network of
	// main (main-first = "connected"). Interface and Table are unset.
	ConnectedRules
)

// Dynamic stands for ip rules that depend on the live machine's addresses.
type Dynamic struct {
	Kind      DynamicKind
	Family    Family
	Interface string
	Uplink    string
	Table     uint32
	Priority  uint32
	// Mark and MarkMask are the rule's fwmark selector, as in Rule.
	Mark, MarkMask uint32
	// SuppressPrefix is suppress_prefixlength plus one, as in Rule.
	SuppressPrefix uint32
}

// Sysctl is one kernel setting, its Path below /proc/sys, as "net/ipv4/ip_forward".
type Sysctl struct {
	Path  string
	Value string
}
