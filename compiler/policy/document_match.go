package policy

import (
	"time"
)

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
