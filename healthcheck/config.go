package healthcheck

import (
	"net/netip"
	"slices"
	"time"
)

// The methods of Config.
const (
	MethodNone = "none"
	MethodPing = "ping"
	MethodARP  = "arp"
	MethodTCP  = "tcp"
	MethodDNS  = "dns"
	MethodHTTP = "http"
	MethodBFD  = "bfd"
)

// Config is how one uplink is checked in one IP version.
type Config struct {
	// UplinkVersion is what is checked, Interface its network device.
	UplinkVersion
	Interface string
	// Mark is the fwmark that leads to the uplink's pinned table.
	Mark uint32
	// Priority is that of the probes' packets.
	Priority uint32
	// Method is how targets are probed; MethodNone trusts the link alone.
	Method string
	// Targets are addresses (ping, arp), addresses with a port (tcp; dns too, 53 if there is none)
	// or URLs (http). Empty: the gateways.
	Targets []string
	// Expect is what an answer must be beyond what Method asks of every answer.
	Expect Expect
	// Gateway4 and Gateway6 are next hops, invalid if there are none or none is known yet.
	Gateway4, Gateway6 netip.Addr
	// IPv4 and IPv6 are the families that the uplink carries.
	IPv4, IPv6 bool
	// Optional means that the uplink may lack the version without that being a failure, as long as
	// it never had it.
	Optional bool
	// Follows means that there is nothing to probe in this version: it gets the verdict of the
	// uplink's other version.
	Follows bool
	// Peers are the uplinks that could take over: a failed check is confirmed by asking theirs.
	// None: it counts at once.
	Peers []string
	// Interval is from one round's begin to the next one's; a round that lasts longer delays the
	// next. Timeout bounds a probe. A check by BFD has no rounds: Interval is that of its packets,
	// and Multiplier of them have to be lost for it to fail.
	Interval, Timeout time.Duration
	Multiplier        int
	// DownAfter and UpAfter are consecutive rounds, Quorum is targets: so many must answer for a
	// round to be good.
	DownAfter, UpAfter, Quorum int
	// MaxLoss (0 to 1; 0 for none) and MaxRTT (0 for none) are limits over the last Over rounds.
	MaxLoss float64
	MaxRTT  time.Duration
	// MaxJitter is a limit, too.
	MaxJitter time.Duration
	Over      int
}

// The defaults of the policy file's [check].
const (
	defaultInterval = time.Second
	defaultRounds   = 3
	defaultOver     = 20
	// defaultMultiplier is RFC 5880's usual one.
	defaultMultiplier = 3
)

// withDefaults fills in what is zero, so that no caller can make a monitor spin or never decide.
func (c Config) withDefaults() Config {
	if c.Method == "" {
		c.Method = MethodNone
	}
	if c.Interval <= 0 {
		c.Interval = defaultInterval
	}
	if c.Timeout <= 0 {
		c.Timeout = c.Interval
	}
	if c.DownAfter < 1 {
		c.DownAfter = defaultRounds
	}
	if c.UpAfter < 1 {
		c.UpAfter = defaultRounds
	}
	if c.Over < 1 {
		c.Over = defaultOver
	}
	if c.Multiplier < 1 {
		c.Multiplier = defaultMultiplier
	}
	c.Quorum = max(c.Quorum, 1)
	c.Targets, c.Peers = slices.Clone(c.Targets), slices.Clone(c.Peers)
	c.Expect.Statuses = slices.Clone(c.Expect.Statuses)
	return c
}

// targets returns what a round probes.
func (c Config) targets() []string {
	if len(c.Targets) > 0 {
		return c.Targets
	}
	var out []string
	if c.IPv4 && c.Gateway4.IsValid() {
		out = append(out, c.Gateway4.String())
	}
	if c.IPv6 && c.Gateway6.IsValid() {
		out = append(out, c.Gateway6.String())
	}
	return out
}

// sameProbes reports whether two checks send the same probes the same way, so that the rounds of
// one say something about the other.
func (c Config) sameProbes(d Config) bool {
	if c.Method == MethodBFD && (c.Interval != d.Interval || c.Multiplier != d.Multiplier) {
		return false
	}
	return c.Method == d.Method && c.Expect.equal(d.Expect) && c.Mark == d.Mark && c.Follows == d.Follows &&
		c.IPv4 == d.IPv4 && c.IPv6 == d.IPv6 && slices.Equal(c.targets(), d.targets())
}

// sameGateways reports whether the next hops are the same.
func (c Config) sameGateways(d Config) bool {
	return c.Gateway4 == d.Gateway4 && c.Gateway6 == d.Gateway6
}

// DownWithin is the longest that probes need to declare a dead uplink down: the target dies right
// after it answered, the next round begins an interval later, and DownAfter rounds fail by timeout.
// 0 if nothing is probed.
func (c Config) DownWithin() time.Duration {
	c = c.withDefaults()
	switch c.Method {
	case MethodNone:
		return 0
	case MethodBFD: // if the peer sends as often as it may
		return time.Duration(c.Multiplier) * c.Interval
	}
	return c.Interval + time.Duration(c.DownAfter-1)*max(c.Interval, c.Timeout) + c.Timeout
}

// UpWithin is the longest that probes need to declare a repaired uplink up, its answers' round trip
// and flap damping left aside: a probe was sent right before it was repaired and must time out,
// then UpAfter rounds are good.
func (c Config) UpWithin() time.Duration {
	c = c.withDefaults()
	switch c.Method {
	case MethodNone:
		return 0
	case MethodBFD:
		return sessionUpWithin
	}
	return max(c.Interval, c.Timeout) + time.Duration(c.UpAfter-1)*c.Interval
}
