package walk

import (
	"net/netip"
	"time"

	"pbr/compiler/plan"
)

// Facts is what a machine has beside the objects of a plan. The zero value is no machine in
// particular: nothing is known of main's routes and of addresses, and every interface carries
// packets.
type Facts struct {
	// Known reports whether the facts are those of a machine.
	Known bool
	Links map[string]Link
	// Outside are, while nothing is Known, the interfaces whose packets main knows a way inside
	// for.
	Outside map[string]bool
	// Rules are the ip rules of others and the kernel's own, without the plan's. If they are not
	// Known the kernel's own are there.
	Rules []plan.Rule
	// Routes are those of main and of others' tables. The local table is not among them: it follows
	// from Links.
	Routes []plan.Route
	// Clients are what the maps that packets fill remember, by map.
	Clients map[string]map[plan.Key]Client
	// Members are what run-time sets hold, by set; a set that is missing is not known, and counts
	// as empty.
	Members map[string][]plan.Element
	// Hop chooses among the next hops of a multipath route as the kernel would, by index; nil, or a
	// negative index, if that is not to be known.
	Hop func(r *plan.Route, f *Flow) int
}

// Link is an interface.
type Link struct {
	// Index orders interfaces as the kernel does.
	Index int
	// Down is set without IFF_UP; NoCarrier without a connection, where the kernel then passes its
	// routes over.
	Down, NoCarrier bool
	// Addrs are its addresses with their networks' lengths, in the kernel's order: the first one of
	// a network is its primary address.
	Addrs []netip.Prefix
	// Source says how the kernel judges the sources of IPv4 packets that arrive by it.
	Source SourceCheck
}

// SourceCheck is the kernel's check of source addresses (ip-sysctl.rst), each the effective one of
// all and the interface.
type SourceCheck struct {
	// ReversePath is rp_filter: 0 none, 1 strict, 2 loose.
	ReversePath uint8
	// AcceptLocal is accept_local, ValidMark src_valid_mark, RouteLocalnet route_localnet.
	AcceptLocal, ValidMark, RouteLocalnet bool
}

// Flow is what the kernel looks a route up by.
type Flow struct {
	Src, Dst     netip.Addr // Src is invalid while a sender has none
	IIF, OIF     string     // IIF is "lo" for the router's own packets
	Mark         uint32
	Proto        uint8
	SPort, DPort uint16
	DSCP         uint8
	UID          uint32
}

// loopback is the arriving interface of the router's own packets (ip-rule(8)).
const loopback = "lo"

// Kernel's own tables and the priorities of its own rules (linux/rtnetlink.h,
// fib_default_rules_init).
const (
	tableDefault    = 253
	tableLocal      = 255
	priorityLocal   = 0
	priorityMain    = 32766
	priorityDefault = 32767
)

// kernelRules are the rules that every namespace starts with.
func kernelRules() (rules []plan.Rule) {
	for _, family := range plan.Families {
		rules = append(rules, plan.Rule{Family: family, Priority: priorityLocal, Action: plan.ActLookup, Table: tableLocal},
			plan.Rule{Family: family, Priority: priorityMain, Action: plan.ActLookup, Table: plan.MainTable})
	}
	return append(rules, plan.Rule{Family: plan.IPv4, Priority: priorityDefault, Action: plan.ActLookup, Table: tableDefault})
}

// Client is what a map that packets fill remembers of a client: the mark of its member, and after
// how long it is forgotten, unless a new connection comes.
type Client struct {
	Mark    uint32
	Expires time.Duration
}
