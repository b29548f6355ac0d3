package policy

import (
	"net/netip"
	"time"
)

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
