// Package learn fills run-time sets with the addresses that DNS answers give for the names of
// lists, before it lets the answers go.
//
// A reader takes answers from the queue; another goroutine changes the sets and shows, by a member
// of its own that lives for two seconds, that both are alive. Whatever keeps either from working
// ends that, and with it packets come to the queue no more.
package learn

import (
	"net/netip"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/tap/answer"
	"pbr/kernel/tap/book"
)

// What a kernel may lack.
const (
	NoQueue = "this kernel has neither nft_queue nor xt_NFQUEUE with nft_compat"
	NoLog   = "this kernel has no nft_log with nfnetlink_log"
)

// Config is what is learned.
type Config struct {
	// Queue is the number of the queue or log group.
	Queue uint16
	// Adopt has members that another program put in for good, as dnsmasq does, leave after their
	// list's time.
	Adopt bool
	Lists []List
}

// List is a list of names. Several of them may fill the same sets.
type List struct {
	Name string
	// Names are in lower case, without a closing dot; each stands for itself and all below it.
	Names []string
	// Timeout is how long an address stays at least.
	Timeout time.Duration
	// Size is how many members each of the sets may have.
	Size int
	// Interval means that the sets hold ranges, too.
	Interval bool
	// AllowPrivate takes addresses that no public name should have.
	AllowPrivate bool
	// Resolvers are the servers whose answers count; empty: all. A loopback address stands for
	// whatever this machine sends itself.
	Resolvers []netip.Addr
}

// Answers is what was read of DNS answers to hosts that are not this machine, whatever they are
// about.
type Answers struct {
	// Since is when reading began; zero while there is nothing to learn or to read from.
	Since time.Time
	Count uint64
	// Last is when the last one came; zero if none did since.
	Last time.Time
}

// topic is a Config made ready.
type topic struct {
	Config
	names *answer.Names
	// sets are the sets of each list, for IPv4 and IPv6.
	sets [][2]*set
	// own are the machine's addresses.
	own map[netip.Addr]bool
}

// set is a run-time set with what is known of its members.
type set struct {
	plan *plan.Set
	book *book.Book
	// stay is how long an address stays that another program put in.
	stay time.Duration
	// pending is what is to be changed in the kernel.
	pending map[netip.Addr]edit
}

// edit is what happens to one address in a set.
type edit struct {
	remove, add bool
	life        time.Duration
}

// note adds a change to what is pending.
func (s *set) note(c book.Change) {
	before, pending := s.pending[c.Addr]
	e := edit{remove: c.Remove, add: c.Add, life: c.Life}
	if pending {
		e.remove = before.remove // the kernel has it, or has not, as before
	}
	if s.pending == nil {
		s.pending = map[netip.Addr]edit{}
	}
	if !e.remove && !e.add {
		delete(s.pending, c.Addr)
		return
	}
	s.pending[c.Addr] = e
}

// trusts reports whether a list learns from answers of a server.
func (l *List) trusts(server netip.Addr, sentHere bool) bool {
	if len(l.Resolvers) == 0 {
		return true
	}
	for _, r := range l.Resolvers {
		if r == server || r.IsLoopback() && sentHere {
			return true
		}
	}
	return false
}

// takes reports whether an address may become a member of a list.
func (t *topic) takes(l *List, a netip.Addr) bool {
	switch {
	case a.Is4In6(), a.IsUnspecified(), a == broadcast:
		return false
	case l.AllowPrivate:
		return true
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return !t.own[a]
}

var broadcast = netip.MustParseAddr("255.255.255.255")

// notPublic are the networks whose addresses no public name should have: this network, private,
// shared (RFC 6598), loopback, link-local, multicast and reserved ones (IANA's registries of
// special-purpose addresses). Those of documentation and tests lead nowhere, and do no harm.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/9"),
	netip.MustParsePrefix("ff00::/8"),
}
