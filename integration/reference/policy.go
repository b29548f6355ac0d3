// Package reference tells, in the plainest way that was found, what a policy asks of a router
// for one packet: by which interface it leaves, with which source address. Tests
// compare the kernel's behaviour with it.
//
// It is written from the public contract alone and shares no code with the compiler: it knows
// neither marks nor chains nor sets, only the order in which the contract says that things count.
package reference

import "net/netip"

// Policy is a policy file.
type Policy struct {
	// MarkMask is [pbr] mark-mask; 0 leaves the key out.
	MarkMask uint32
	// MainFirst is "specific", "connected" or "off".
	MainFirst string
	// ReversePath is "kernel", "nft" or "nft-strict"; empty leaves the key out.
	ReversePath string
	// Offload is "off", "unmarked" or "all"; empty is "off".
	Offload string
	Uplinks []Uplink
	Tables  []Table
	// HasDefault means that there is a [default], with the routes of Default.
	HasDefault bool
	Default    []Route
	Lists      []List
	Balances   []Balance
	Policies   []Class
	Rules      []Rule
}

// Uplink is one [[uplink]].
type Uplink struct {
	Name, Interface string
	// Gateway4 and Gateway6 are as in the file: an address, "auto", "link", or empty for an absent
	// key.
	Gateway4, Gateway6 string
	// NAT is "none", "masquerade" or an address.
	NAT string
}

// Carries reports whether an uplink can take packets of the family.
func (u Uplink) Carries(v6 bool) bool {
	if u.Gateway4 == "" && u.Gateway6 == "" {
		return true
	}
	if v6 {
		return u.Gateway6 != ""
	}
	return u.Gateway4 != ""
}

// Table is one [[table]].
type Table struct {
	Name   string
	Routes []Route
	Strict bool
}

// Route is one route of a table. Dst invalid is the default route of both families.
type Route struct {
	Uplink           string
	Distance, Weight int
	Dst              netip.Prefix
}

// Span is an inclusive range of addresses of one family.
type Span struct{ From, To netip.Addr }

// Has reports whether a is in the span.
func (s Span) Has(a netip.Addr) bool {
	return a.BitLen() == s.From.BitLen() && !a.Less(s.From) && !s.To.Less(a)
}

// List is one entry of [lists].
type List struct {
	Name  string
	Spans []Span
	// RunTime lists are filled at run time, too: by Members, with Dynamic by commands, with Domains
	// by DNS answers. Without Dynamic they are single addresses.
	RunTime          bool
	Dynamic, Domains bool
	Members          []Span
}

// AddrItem is one entry of src or dst; List is empty if Span is meant.
type AddrItem struct {
	Not  bool
	List string
	Span Span
}

// NumItem is one entry of a list of numbers: protocols, ports, DSCP, user ids. Inclusive.
type NumItem struct {
	Not      bool
	From, To uint32
}

// NameItem is one entry of a list of interfaces.
type NameItem struct {
	Not  bool
	Name string
}

// Class is one [[policy]]. Empty slices do not select.
type Class struct {
	Name         string
	From         []NameItem // "local" among them is the router's own traffic
	Src, Dst     []AddrItem
	Proto        []NumItem
	SPort, DPort []NumItem
	DSCP         []NumItem
	UID, GID     []NumItem
	// Cgroup has paths of control groups, Unit units of systemd.
	Cgroup, Unit []string
	MAC          [][6]byte
	// Mark is compared under MarkMask; MarkMask 0 does not select.
	Mark, MarkMask uint32
	// Schedule is "on" for one that is in force now, "off" for one that is not; empty for none.
	Schedule string
	// ICMP has names from icmpTypes.
	ICMP      []string
	IPVersion int
	// Exactly one of Table, Uplink, Balance, Default and Action is set.
	Table, Uplink string
	Action        string
	Balance       string
	Default       bool
	// Strict goes with Uplink and Balance.
	Strict bool
}

// Balance is one [[balance]].
type Balance struct {
	Name string
	// Method is "hash", "round-robin" or "random"; Hash only goes with the first.
	Method  string
	Hash    []string
	Members []Member
	// Sticky is empty for none.
	Sticky string
}

// Repeats reports whether the same packet makes the same choice again.
func (b Balance) Repeats() bool { return b.Method == "hash" || b.Sticky != "" }

// Member is a member of a balance: a table or an uplink.
type Member struct {
	Table, Uplink string
	Weight        int
}

// Rule is one [[rule]]. Empty slices do not select; items never have Not.
type Rule struct {
	Name string
	// Priority 0 is absent.
	Priority     int
	Src, Dst     []AddrItem
	IIF, OIF     []NameItem
	Proto        []NumItem
	SPort, DPort []NumItem
	DSCP, TOS    []NumItem
	UID          []NumItem
	// Mark is compared under MarkMask; MarkMask 0 does not select.
	Mark, MarkMask uint32
	Table, Uplink  string
	// Action is empty for "lookup".
	Action string
}

// icmpTypes are the request types that connection tracking accepts as a first packet, by
// their name in a policy and family (RFC 792, RFC 4443).
var icmpTypes = map[string]struct{ v4, v6 []uint8 }{
	"echo-request":      {[]uint8{8}, []uint8{128}},
	"timestamp-request": {[]uint8{13}, nil},
}
