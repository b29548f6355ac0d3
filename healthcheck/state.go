package healthcheck

import (
	"cmp"
	"time"
)

// State is what is known of an uplink.
type State string

// The states of an uplink.
const (
	// Start: nothing is known yet. At the monitor's start it lasts until the first round of probes
	// has ended, after a link's return until a good round or down-after bad ones.
	Start State = "start"
	// Up: the uplink answers.
	Up State = "up"
	// Degraded: the uplink answers, but loses more or answers later than its check allows.
	Degraded State = "degraded"
	// Down: the uplink does not answer, or has not yet answered for long enough.
	Down State = "down"
	// LinkDown: the interface is gone, switched off or without carrier.
	LinkDown State = "link-down"
	// Unconfirmed: the check fails, and so do those of all uplinks that could take over. The cause
	// is taken to be common to them: the uplink stays in use, but not for what is strict.
	Unconfirmed State = "unconfirmed"
	// AddressLost: the interface has no address that the uplink could use.
	AddressLost State = "address-lost"
	// NoGateway: the gateway is "auto", and main has no default route over the interface any more;
	// or the kernel takes no route over the gateway.
	NoGateway State = "no-gateway"
	// Absent: the uplink never had the IP version since the start, and may do without. It is no
	// failure.
	Absent State = "absent"
	// OverQuota: the uplink carried all that it may in this period. What runs over it stays or
	// ends, see Status.Closed.
	OverQuota State = "over-quota"
	// Standby: the router is the one of a pair that does not hold the uplink's address now. Nothing
	// has failed.
	Standby State = "standby"
	// ForcedUp and ForcedDown: the administrator said so, whatever probes and link say.
	ForcedUp   State = "forced-up"
	ForcedDown State = "forced-down"
)

// Usable reports whether new connections may take the uplink: its routes stand.
func (s State) Usable() bool { return s == Start || s == Up || s == Unconfirmed || s == ForcedUp }

// Dead reports whether connections that run over the uplink may be flushed. An uplink that is
// neither usable nor dead takes no new connections and keeps those it has.
func (s State) Dead() bool {
	return s == Down || s == LinkDown || s == AddressLost || s == NoGateway || s == ForcedDown
}

// Failed reports whether a state is one that somebody has to know of: not in use, and meant to be,
// or in doubt.
func (s State) Failed() bool {
	return s == Unconfirmed || s != Absent && s != Standby && !s.Usable()
}

// Version is an IP version, 4 or 6.
type Version uint8

// UplinkVersion is an uplink in one IP version: what has a state.
type UplinkVersion struct {
	Uplink  string  `json:"uplink"`
	Version Version `json:"version"`
}

// LinkState is the condition of an uplink's interface, for one IP version.
type LinkState struct {
	// Exists: there is an interface of the name. Up: it is switched on (IFF_UP). Carrier: its cable
	// or tunnel is connected (IFF_LOWER_UP). Addressed: it has an address of the version, or needs
	// none. Routed: its next hop is known.
	Exists, Up, Carrier, Addressed, Routed bool
	// Standby: the other router of a pair holds the address that is missing.
	Standby bool
	// Refused is why the kernel takes no route over the next hop; empty if it takes them.
	Refused string
}

// linkGood is a link that nothing is wrong with.
var linkGood = LinkState{Exists: true, Up: true, Carrier: true, Addressed: true, Routed: true}

// Good reports whether nothing is wrong with a link.
func (l LinkState) Good() bool { return l == linkGood }

// State returns the state that a link condemns its uplink to, and why; none if the link is good.
func (l LinkState) State() (s State, why string) {
	switch {
	case !l.Exists:
		return LinkDown, "the interface does not exist"
	case !l.Up:
		return LinkDown, "the interface is set down"
	case !l.Carrier:
		return LinkDown, "carrier lost"
	case !l.Addressed && l.Standby:
		return Standby, "another router of the pair holds the shared address"
	case !l.Addressed:
		return AddressLost, "the interface has no address"
	case !l.Routed:
		return NoGateway, "main has no default route to take the gateway from"
	case l.Refused != "":
		return NoGateway, l.Refused
	}
	return "", ""
}

// renewal reports whether a state of a link is one that passes when the line gets its address again
// (DHCP, VRRP, PPP): no failure of the line.
func renewal(s State) bool { return s == AddressLost || s == NoGateway || s == Absent || s == Standby }

// The modes of Force.
const (
	ForceUp   = "up"
	ForceDown = "down"
	ForceAuto = "auto"
)

// Quota is what an uplink's quota says of it.
type Quota uint8

// The values of Quota.
const (
	// QuotaLeft: there is none, or something is left of it.
	QuotaLeft Quota = iota
	// QuotaDegrades: no new connections. QuotaCloses: those that run end, too.
	QuotaDegrades
	QuotaCloses
)

// Event is a change of an uplink's state.
type Event struct {
	At time.Time `json:"at"`
	UplinkVersion
	From State `json:"from"`
	To   State `json:"to"`
	// Reason is for people: why the state changed, with figures.
	Reason string `json:"reason"`
	// Closed means that To ends the connections that run, where the state alone does not say so.
	Closed bool `json:"closed,omitempty"`
}

// Status is all that is known of an uplink. As JSON it is what a restarted daemon continues from.
type Status struct {
	UplinkVersion
	State State `json:"state"`
	// Closed means that the state OverQuota ends the connections that run.
	Closed bool `json:"closed,omitempty"`
	// Since is when State began.
	Since time.Time `json:"since"`
	// Reason says, for people, why it began; empty for the first state of a run.
	Reason string `json:"reason,omitempty"`
	// RTT is the mean round trip, Loss the lost share (0 to 1) of the probes in the last `over`
	// rounds, both of the target that ranks last among the best `quorum` ones: a dead target that
	// quorum can do without does not count. RTT is 0 if nothing was answered. Jitter is the mean
	// absolute difference of its consecutive round trips.
	RTT    time.Duration `json:"rtt_ns"`
	Jitter time.Duration `json:"jitter_ns"`
	Loss   float64       `json:"loss"`
	// Rounds is the number of rounds that ended since the monitor knows the uplink.
	Rounds int `json:"rounds"`
	// LastFailure says what was wrong when a round failed, or the link was lost, for the last time.
	LastFailure   string    `json:"last_failure,omitempty"`
	LastFailureAt time.Time `json:"last_failure_at,omitzero"`
	// ProbeError says why probes cannot be sent at the moment (no socket, no gateway known yet);
	// empty if they can.
	ProbeError string `json:"probe_error,omitempty"`
	// Flaps counts how often the uplink ceased to be usable without being forced, until a quiet
	// time (flapMemory) ends it.
	Flaps int `json:"flaps"`
	// LinkOnly means that the uplink is down because its link flapped, and for no other reason: the
	// link is good again, and no check has failed since.
	LinkOnly bool `json:"link_only,omitempty"`
	// HeldUntil is set while an uplink that flapped must wait before it may be up again.
	HeldUntil time.Time `json:"held_until,omitzero"`
}

// Dead reports whether connections through the uplink may be flushed.
func (s Status) Dead() bool { return s.State.Dead() || s.Closed }

// Why says what is wrong now, for people: why the state began where no failed round or link says
// it, else the last failure.
func (s Status) Why() string {
	if s.State == Degraded || s.State == OverQuota {
		return cmp.Or(s.Reason, s.LastFailure)
	}
	return s.LastFailure
}

// Dead reports whether the new state lets established connections be flushed.
func (e Event) Dead() bool { return e.To.Dead() || e.Closed }
