package plan

import "net/netip"

// RuleAction is what an ip rule does; the values are FR_ACT_* (linux/fib_rules.h).
type RuleAction uint8

const (
	ActLookup      RuleAction = 1
	ActGoto        RuleAction = 2
	ActNop         RuleAction = 3
	ActBlackhole   RuleAction = 6
	ActUnreachable RuleAction = 7
	ActProhibit    RuleAction = 8
)

// Rule is one ip rule. It is comparable: two rules are the same when they are ==.
// The zero value of a selector means that it does not select.
type Rule struct {
	Family   Family
	Priority uint32
	// Src and Dst are invalid when absent.
	Src, Dst netip.Prefix
	IIF, OIF string
	TOS      uint8
	// DSCP is the code point 0..63 plus one (FRA_DSCP, kernel 6.13 and later); 0 is absent.
	DSCP uint8
	// Proto is an IP protocol number.
	Proto uint8
	// SPort and DPort are inclusive; 0..0 is absent.
	SPort, DPort PortRange
	// UID is inclusive; HasUID tells 0..0 from absent.
	UID    UIDRange
	HasUID bool
	// Mark is compared under MarkMask; MarkMask 0 is absent.
	Mark, MarkMask uint32
	Invert         bool

	Action RuleAction
	Table  uint32
	// SuppressPrefix is suppress_prefixlength plus one; 0 is absent.
	SuppressPrefix uint32
	// Goto is the target priority of ActGoto.
	Goto uint32
	// Protocol is FRA_PROTOCOL: 112 in wanted plans, anything in live ones.
	Protocol uint8
	// Foreign has, in live plans, attributes that pbr never sets.
	Foreign string
}

// PortRange is inclusive.
type PortRange struct{ From, To uint16 }

// UIDRange is inclusive.
type UIDRange struct{ From, To uint32 }
