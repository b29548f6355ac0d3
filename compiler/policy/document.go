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

// CheckMethod is how an uplink's health is checked.
type CheckMethod string

const (
	CheckNone CheckMethod = "none"
	CheckPing CheckMethod = "ping"
	CheckARP  CheckMethod = "arp"
	CheckTCP  CheckMethod = "tcp"
	CheckDNS  CheckMethod = "dns"
	CheckHTTP CheckMethod = "http"
	CheckBFD  CheckMethod = "bfd"
)

// Check is an uplink's check, [check]'s defaults filled in.
type Check struct {
	Pos     Pos
	Method  CheckMethod
	Targets []string
	// Name is what a dns check asks for; empty: the root's name servers.
	Name   string
	Expect Expect

	Interval time.Duration
	Timeout  time.Duration
	// Multiplier is how many packets of a BFD session are lost when it ends.
	Multiplier int
	// DownAfter and UpAfter are consecutive rounds; Quorum is targets.
	DownAfter, UpAfter, Quorum int
	// MaxLoss is 0..1, 0 for none; MaxRTT 0 for none; both over the last Over rounds.
	MaxLoss           float64
	MaxRTT, MaxJitter time.Duration
	Over              int
}

// Gateway is an uplink's next hop for one family.
type Gateway struct {
	Pos Pos
	// Present says that the uplink carries the family at all.
	Present bool
	// Auto takes the gateway that main has for the interface.
	Auto bool
	// Link is a device route without a gateway.
	Link bool
	// Implicit says that the policy names none: a point-to-point device carries both versions.
	Implicit bool
	Addr     netip.Addr
}

// NATMode is an uplink's source NAT.
type NATMode uint8

const (
	NATNone NATMode = iota
	NATMasquerade
	NATAddress
)

// NAT is an uplink's nat.
type NAT struct {
	Pos  Pos // Line 0: not in the file
	Mode NATMode
	Addr netip.Addr
}

// Uplink is one [[uplink]].
type Uplink struct {
	CommonKeys
	Pos          Pos
	Name         string
	Interface    string
	InterfacePos Pos
	Gateway      Gateway // IPv4
	Gateway6     Gateway
	Check        Check
	NAT          NAT
	// NAT6 is IPv6's own; absent (Pos.Line 0), IPv6 has NAT's.
	NAT6 NAT
	// Quota is what the uplink may carry; Bytes is 0 without one.
	Quota Quota
	// Standby says that this router shares the uplink's addresses with another one.
	Standby bool
}

// Quota is how much an uplink may carry in a period, and what happens to it then.
type Quota struct {
	Pos   Pos
	Bytes uint64
	Per   QuotaPeriod
	// Day is that of the month on which a period begins, Weekday that of the week.
	Day     int
	Weekday time.Weekday
	// Close says that connections that run end, too.
	Close bool
}

// QuotaPeriod is what a quota is for.
type QuotaPeriod string

const (
	PerMonth QuotaPeriod = "month"
	PerWeek  QuotaPeriod = "week"
	PerDay   QuotaPeriod = "day"
)

// GatewayOf returns the next hop of an IP version.
func (u *Uplink) GatewayOf(v6 bool) Gateway {
	if v6 {
		return u.Gateway6
	}
	return u.Gateway
}

// SourceNAT returns the source NAT of an IP version. An address is for its own version alone.
func (u *Uplink) SourceNAT(v6 bool) NAT {
	n := u.NAT
	if v6 && u.NAT6.Pos.Line != 0 {
		n = u.NAT6
	}
	if n.Mode == NATAddress && n.Addr.Is6() != v6 {
		return NAT{Pos: n.Pos}
	}
	return n
}

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

// AddrItem is one entry of src or dst.
type AddrItem struct {
	Pos Pos
	Not bool
	// List is the name of a list; otherwise Range is set.
	List  string
	Range Range
}

// PortItem is one entry of sport or dport, an inclusive range.
type PortItem struct {
	Pos      Pos
	Not      bool
	From, To uint16
}

// NumItem is one entry of a list of numbers or number ranges (proto, uid, dscp), inclusive.
type NumItem struct {
	Pos      Pos
	Not      bool
	From, To uint32
}

// NameItem is one entry of a list of interfaces.
type NameItem struct {
	Pos  Pos
	Not  bool
	Name string // may end in "*"
}

// ICMPItem is one ICMP type.
type ICMPItem struct {
	Pos    Pos
	Family int // 4 or 6
	Type   uint8
}

// MarkItem is one packet mark of others, compared under Mask.
type MarkItem struct {
	Pos         Pos
	Value, Mask uint32
}

// ProgramItem is one control group or unit, whose processes send what is selected.
type ProgramItem struct {
	Pos  Pos
	Name string
}

// MACItem is one source MAC address.
type MACItem struct {
	Pos  Pos
	Addr [6]byte
}

// Policy is one [[policy]]. Empty slices do not select.
type Policy struct {
	// RareKeys are never nil in a document. Policies that have none of them share theirs.
	*RareKeys
	Pos  Pos
	Name string
	// Local says that the router's own traffic is meant; Forwarded that traffic that arrives by
	// From (any interface that is not an uplink, if empty) is. At least one is set.
	Local, Forwarded bool
	// Strict: the target or unreachable, for ToUplink and ToBalance.
	Strict    bool
	Log       bool
	IPVersion int // 0, 4 or 6
	From      []NameItem
	Src, Dst  []AddrItem
	Proto     []NumItem
	DPort     []PortItem
	Target    Target
}

// RareKeys are a policy's keys that few policies have: a file of a hundred thousand is in memory
// without them.
type RareKeys struct {
	CommonKeys
	SPort    []PortItem
	DSCP     []NumItem // code points 0..63
	MAC      []MACItem
	UID, GID []NumItem
	// Cgroups are control groups as paths without slashes around, Units names of systemd's units. A
	// packet's is one of each.
	Cgroups, Units []ProgramItem
	// Marks are packet marks of others, without bits of ours.
	Marks []MarkItem
	ICMP  []ICMPItem
	// Schedule says when the policy is in force: always, if it is empty. ScheduleName is set if it
	// is one of [schedules].
	Schedule     []Times
	ScheduleName string
	SchedulePos  Pos
	// FlushAtStart and FlushAtEnd say whether running connections end that are decided otherwise
	// since a window began, or ended.
	FlushAtStart, FlushAtEnd bool
	// StrictPos.Line is 0 when the file does not say whether the policy is strict.
	StrictPos Pos
	// OnReturn and Settle are as a table's, and win over its; ReturnUnset leaves it to the table.
	OnReturn OnReturn
	Settle   time.Duration
}

// ScheduleItem is one span of a schedule, in local time: days as bits (Sunday is bit 0) and minutes
// of the day, To exclusive.
type ScheduleItem struct {
	Days     uint8
	From, To int
}

// RuleAction is a stateless rule's action.
type RuleAction uint8

const (
	RuleLookup RuleAction = iota
	RuleLookupOnly
	RuleUnreachable
	RuleProhibit
	RuleDrop
)

// Rule is one [[rule]]. Empty slices do not select; entries never have Not.
type Rule struct {
	CommonKeys
	Pos  Pos
	Name string
	// Priority orders rules; HasPriority false comes after all that have one, in file order.
	Priority     uint32
	HasPriority  bool
	Src, Dst     []AddrItem
	IIF, OIF     []NameItem
	TOS          []NumItem // 0..255
	DSCP         []NumItem // 0..63
	Proto        []NumItem
	SPort, DPort []PortItem
	UID          []NumItem
	// Mark is compared under MarkMask, bits of others only; MarkMask 0 does not select.
	Mark, MarkMask uint32
	// Target is ToTable or ToUplink, set for RuleLookup and RuleLookupOnly.
	Target Target
	Action RuleAction
}
