// Package policy reads a policy file: TOML in, a Document with every default filled in and
// every reference resolved by name out, or all of its errors at once, each with its place.
// It opens no file itself (it is given an fs.FS) and knows nothing of the kernel.
package policy

import (
	"net/netip"
	"time"
)

// Pos is a place in a policy file, both 1-based. Line 0 is "the file as a whole".
type Pos struct {
	File      string
	Line, Col int
}

// Document is a whole, valid policy file. Every slice is in file order.
type Document struct {
	File     string
	Settings Settings
	Watch    Watch
	Lists    []List
	Uplinks  []Uplink
	Tables   []Table
	// Default is nil when the file has no [default]: main serves what nothing catches.
	Default   *Table
	Balances  []Balance
	Policies  []Policy
	Rules     []Rule
	Schedules []Schedule
	// Disabled are the objects that the file has and the document does not.
	Disabled []Disabled
}

// Settings is [pbr].
type Settings struct {
	MarkMask     uint32
	MarkMaskPos  Pos
	RulePriority uint32
	MainFirst    MainFirst
	Offload      Offload
	Sysctl       bool
	Forward      Forward
	ReversePath  ReversePath
	// Resolvers are those whose answers fill lists of domains that name none themselves; empty:
	// all.
	Resolvers []netip.Addr
	// Dnsmasq is the file that has dnsmasq fill lists of domains; empty for none.
	Dnsmasq string
	// Queue is the number of the queue and log group that DNS answers are read by.
	Queue uint16
	// FlushOnFailover is on-failover = "flush".
	FlushOnFailover bool
}

// MainFirst says which routes of main come before marks.
type MainFirst uint8

const (
	MainFirstSpecific MainFirst = iota
	MainFirstConnected
	MainFirstOff
)

// ReversePath says who judges the source addresses of arriving packets.
type ReversePath uint8

const (
	// ReverseKernel: the kernel, packet by packet.
	ReverseKernel ReversePath = iota
	// ReverseNFT: our chain, once per connection: no source is one of the router's own.
	ReverseNFT
	// ReverseStrict: the same, and sources have a route back by the interface that the packet came
	// by.
	ReverseStrict
)

// OffloadMode is offload's mode.
type OffloadMode uint8

const (
	OffloadUnmarked OffloadMode = iota
	OffloadAll
	OffloadOff
)

// Offload is [pbr] offload. Pos.Line is 0 when the file does not name it.
type Offload struct {
	Pos                Pos
	Mode               OffloadMode
	Hardware, Required bool
}

// Watch is [watch].
type Watch struct {
	Pos     Pos // Line 0: no [watch] in the file
	Hook    string
	Metrics string
	Log     string // "text" or "json"
	Notify  Notify
	Web     Web
}

// Web is [watch] web: where pbr watch serves its page.
type Web struct {
	Pos Pos // Line 0: not in the file
	// Listen is "ADDRESS:PORT" or "unix:PATH"; empty for nowhere.
	Listen string
	// TokenFile has what visitors have to know; empty if nothing.
	TokenFile string
	// Hosts are the names that the page is reached by, besides addresses and localhost.
	Hosts []string
}

// List is one entry of [lists].
type List struct {
	Pos  Pos
	Name string
	// Comment has those of its sources.
	Comment string
	// Sources are what the list is made of, in the file's order. Neighbouring entries that stand in
	// the policy file are one.
	Sources []Source
	// Ranges are the entries that are known when the file is read: of all sources but domains and
	// dynamic, and of lists inside this one; sorted, overlapping and adjacent ones merged, IPv4
	// before IPv6.
	Ranges []Range
	// Inner names the lists inside this one.
	Inner []string
	// Outer reports whether the list holds, by its name, another one whose content may change while
	// the policy file stays as it is.
	Outer bool
}

// Range is an inclusive range of addresses of one family.
type Range struct{ From, To netip.Addr }

// Table is one [[table]], or [default].
type Table struct {
	CommonKeys
	Pos    Pos
	Name   string // "default" for [default]
	Routes []Route
	Strict bool
	// OnReturn says whether connections that took a worse uplink move back when a better one has
	// been usable for Settle.
	OnReturn OnReturn
	Settle   time.Duration
	// Prefer says how one of several uplinks of equal distance is chosen.
	Prefer Prefer
	// ID is 0 and Mark 0 when to be chosen from the name.
	ID      uint32
	IDPos   Pos
	Mark    uint32
	MarkPos Pos
}

// Route is one entry of a table's routes.
type Route struct {
	CommonKeys
	Pos      Pos
	Uplink   string       // a valid uplink's name
	Distance uint32       // 1..65534
	Weight   int          // 1..256
	Dst      netip.Prefix // invalid: the default route of both families
}

// TargetKind says what a policy or balance member leads to.
type TargetKind uint8

const (
	ToTable TargetKind = iota + 1
	ToUplink
	ToBalance
	ToDefault
	// ToMain is the kernel's main table, which only a rule can name.
	ToMain
	// ToUnreachable and ToDrop are a policy's action.
	ToUnreachable
	ToDrop
)

// Target is where connections go. Name is resolved: it exists.
type Target struct {
	Pos  Pos
	Kind TargetKind
	Name string // empty for ToDefault, ToMain and actions
}

// Refuses reports whether the target is an action: connections that lead there get no way.
func (t Target) Refuses() bool { return t.Kind == ToUnreachable || t.Kind == ToDrop }

// BalanceMethod is how a balance picks a member.
type BalanceMethod string

const (
	BalanceHash       BalanceMethod = "hash"
	BalanceRoundRobin BalanceMethod = "round-robin"
	BalanceRandom     BalanceMethod = "random"
)

// Balance is one [[balance]].
type Balance struct {
	CommonKeys
	Pos     Pos
	Name    string
	Method  BalanceMethod
	Hash    []string // of src, dst, sport, dport, proto
	Members []Member
	Sticky  Sticky
}

// Sticky is a balance's memory of its clients.
type Sticky struct {
	// Time is how long a client is remembered after its last new connection; 0: not at all. Whole
	// seconds.
	Time time.Duration
	// Prefix6 is how many leading bits of an IPv6 address make a client.
	Prefix6 int
	// Size is how many clients of each family are remembered at most.
	Size int
}

// Member is one member of a balance.
type Member struct {
	CommonKeys
	Pos    Pos
	Target Target // ToUplink or ToTable
	Weight int
}
