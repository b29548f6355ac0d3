// Package facts is what a machine shows beyond what a plan needs of it (plan.HostFacts): what its
// kernel can do, and what others have there. The kernel side reads it, package doctor judges it. It
// is plain values and decides nothing.
package facts

import (
	"net/netip"
	"time"

	"pbr/compiler/plan"
)

// Facts is what was found. What could not be examined is in Unknown, and its field is empty.
type Facts struct {
	// Release is the kernel's, as "6.1.0-13-amd64".
	Release string
	// Hook is nil if the policy has none.
	Hook *EventHook
	Host plan.HostFacts
	// Features are what was tried of the kernel; empty if nothing could be tried.
	Features []Feature
	// Rules are all ip rules of both families, the kernel's own and pbr's among them, in the order
	// in which the kernel asks them.
	Rules []plan.Rule
	// Defaults are the tables of others' ip rules that have a default route.
	Defaults []Table
	// HalfDefaults are main's routes to parts of all addresses, which count as default routes.
	HalfDefaults []plan.Route
	// Main is how much of the internet main's other routes are for.
	Main []MainShare
	// Routes are the routes of others in the tables that were asked for.
	Routes []plan.Route
	// Ports are the interfaces that are ports of a bridge or bond, with its name.
	Ports map[string]string
	// Marks, SourceNAT and Untracked are from others' nftables tables.
	Marks     []MarkUse
	SourceNAT []SourceNAT
	// Translations are those of SourceNAT that name an address.
	Translations []Translation
	Untracked    []Untracked
	// Offloads are rules of others that put connections into a flowtable.
	Offloads []Offload
	// ReverseFilters are rules of others that drop what main would not answer through the interface
	// that it arrived on.
	ReverseFilters []ReverseFilter
	// Dropping are the base chains of others whose policy is drop; Chains are all chains of others,
	// as "ip filter DOCKER-USER", sorted.
	Dropping []DropChain
	Chains   []string
	// Flushers are units that flush the whole ruleset.
	Flushers []Flusher
	// LegacyTables are the tables of iptables-legacy, as "ip mangle". Their rules are not to be
	// seen by nftables.
	LegacyTables []string
	// Sysctls are the values of those settings that were asked for and exist.
	Sysctls map[string]string
	// Programs are the names of the processes in this network namespace (comm, at most 15 bytes),
	// sorted.
	Programs []string
	Networkd Networkd
	// Dnsmasq is one in this network namespace, and the file that the policy names for it.
	Dnsmasq Dnsmasq
	Names   Names
	State   State
	// Gateways are the answers of the uplinks' gateways.
	Gateways []Gateway
	// Watched are the uplinks as a running watch has them, or, without one, those that the last one
	// or an order left unused.
	Watched []Watched
	// Fetched are the URLs of the policy's lists.
	Fetched []Fetched
	Unknown []Unknown
}

// Dnsmasq is a running dnsmasq: its process, 0 for none, when it started, when the file was written
// that it is to read, and when the last of the sets was made that it is to fill.
type Dnsmasq struct {
	PID                    int
	Started, Written, Made time.Time
	// NoNftset is the version of the installed dnsmasq, if that cannot fill nftables sets.
	NoNftset string
}

// Fetched is a URL of a list: At is when its text came, empty if there is none; Trouble why
// fetching fails, and Since since when.
type Fetched struct{ List, URL, At, Trouble, Since string }

// Unknown is something that could not be examined.
type Unknown struct {
	What string `json:"what"`
	Why  string `json:"why"`
	// Confined is set where root looked, and may not: a sandbox forbids it, as that of a service.
	Confined bool `json:"confined,omitempty"`
}

// Offload is a rule of another nftables table that puts connections into a flowtable, whose packets
// pass no chain any more.
type Offload struct {
	Table, Chain string
	Handle       uint64
	Flowtable    string
	// SparesDNS means that the rule itself leaves connections to port 53 out.
	SparesDNS bool
}

// Names is what shows whether the answers that clients get from DNS servers can be read.
type Names struct {
	// Watched is how long the running watch reads answers, 0 if none does; Unanswered how long it
	// has read none to a host of the networks behind this machine.
	Watched, Unanswered time.Duration
	// Clients are how many of these hosts have connections to elsewhere now.
	Clients int
	// Hidden are servers that such hosts have connections to now.
	Hidden []HiddenDNS
}

// HiddenDNS is a server that hosts ask by DNS in a way that nobody between them can read.
type HiddenDNS struct {
	Server netip.Addr
	// Port is 853 for DNS over TLS or QUIC, 443 for HTTPS.
	Port uint16
	// Client is one of the hosts, Clients how many there are.
	Client  netip.Addr
	Clients int
}

// EventHook is the program that the policy has run for events, with what is wrong with it, and what
// to do about that.
type EventHook struct{ Path, Trouble, Do string }

// Table is a routing table of one family.
type Table struct {
	Family plan.Family
	ID     uint32
}

// Hook is a place in the kernel where a base chain is called.
type Hook struct {
	// Name is "prerouting", "input", "forward", "output", "postrouting", "ingress" or "egress".
	Name     string
	Priority int32
}

// MarkUse is a rule of another nftables table that changes or compares marks.
type MarkUse struct {
	// Table is the family and the name, as "ip mangle".
	Table, Chain string
	Handle       uint64
	// Hooks are those of the base chains that the rule is reached from; none if no chain is known
	// to lead there.
	Hooks []Hook
	// Connection tells the connection's mark from the packet's.
	Connection bool
	// Writes tells a rule that changes the mark from one that compares it.
	Writes bool
	// Bits are those that it may change, or compares.
	Bits uint32
	// Constant means that the changed bits become those of Value whatever they were.
	Constant bool
	Value    uint32
}

// SourceNAT is a rule of another nftables table that translates source addresses.
type SourceNAT struct {
	Table string `json:"table"`
	// OIF is the outgoing interface that it is for, or with a * at its end a prefix of it; empty if
	// it names none.
	OIF string `json:"oif,omitempty"`
}

// DropChain is a base chain of another nftables table whose policy is drop. Hook is as Hook.Name.
type DropChain struct{ Table, Chain, Hook string }

// Translation is a rule of another nftables table that translates source addresses to one of its
// own (snat, not masquerade).
type Translation struct {
	// Table is as MarkUse's, OIF as SourceNAT's.
	Table, Chain, OIF string
	Handle            uint64
	Hooks             []Hook
}

// MainShare is how much of an IP version's public addresses main's specific routes send through an
// interface.
type MainShare struct {
	Family plan.Family
	Dev    string
	Routes int
	// Share is 0 to 1, of all IPv4 addresses or of 2000::/3.
	Share float64
}

// ReverseFilter is a rule of another nftables table that drops packets to whose source no route
// leads back by the interface that they arrived on.
type ReverseFilter struct {
	Table, Chain string
	Handle       uint64
	// Family is the IP version that it is for, 0 for both.
	Family plan.Family
	// Limited means that it is for some interfaces only.
	Limited bool
}

// Flusher is a unit of systemd that flushes the whole ruleset when it starts, is reloaded or stops.
type Flusher struct {
	Unit string
	// File is what nft reads, empty if the unit itself has the command.
	File string
}

// Untracked is a rule of another nftables table that keeps packets from connection tracking.
type Untracked struct {
	Table, Chain string
	Handle       uint64
	// Hooks are as MarkUse's.
	Hooks []Hook
}

// Networkd is how systemd-networkd is set up: whether it removes rules and routes that it did not
// make (networkd.conf(5)).
type Networkd struct{ RemovesRules, RemovesRoutes bool }

// State is what pbr itself has on the machine.
type State struct {
	// Dir is the state directory; Unwritable tells why nothing can be written there.
	Dir, Unwritable string
	// Taken means that there is a journal: pbr was applied here.
	Taken bool
	// Pending tells of an apply that waits to be confirmed; Orphaned that nobody will undo it.
	Pending  string
	Orphaned bool
	// WatchPID is the process of pbr watch, 0 if it is not running.
	WatchPID int
	// Behind counts the objects that differ from the policy's plan.
	Behind int
	// Compared means that Behind is known.
	Compared bool
}

// Gateway is how a gateway answered one request for its link-layer address.
type Gateway struct {
	Uplink, Address string
	RTT             time.Duration
	// Failure is why there was no answer, empty if there was one.
	Failure string
}

// Watched is an uplink's state in a running watch, or the last known one.
type Watched struct {
	Uplink, State, LastFailure string
	// Remedy is what to do about it, where the state says so.
	Remedy string
	Usable bool
}
