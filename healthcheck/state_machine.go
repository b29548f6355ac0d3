package healthcheck

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// stateMachine is the state of one uplink. It has no clock and no goroutine: whoever calls it tells
// the time.
//
// The state has three sources, the first that says something wins: the administrator's order, the
// link, the verdict of the probes. Each is remembered on its own, so that the end of one uncovers
// the next.
type stateMachine struct {
	cfg Config

	forced  string // ForceUp, ForceDown or ForceAuto
	link    LinkState
	quota   Quota
	verdict State // Start, Up, Degraded or Down

	// state is what the three come to, since when.
	state State
	since time.Time
	// reason says why state began.
	reason string
	// wasClosed is what closed was at the last event.
	wasClosed bool

	good, bad int // consecutive rounds
	// returned means that the present Start is one of a link that came back: its first lost probe
	// is no verdict, as a cable that was just plugged in, or a neighbour that is not resolved yet,
	// loses some.
	returned bool
	// told means that the link was told, seen that it was good once: an optional version that never
	// was is absent.
	told, seen bool
	// linkFailed means that the link itself failed since it was good for the last time, and not its
	// address alone.
	linkFailed bool
	// asking means that the check failed, and that the peers are to be asked before it counts;
	// failing is why it failed.
	asking  bool
	failing string
	// held means that Down is the wait of a link that flapped and is good again: no probe said so.
	held bool
	// session is that of a check by BFD, sessionBy when it must have come up, zero if that does not
	// matter.
	session   SessionState
	sessionBy time.Time

	window  window
	damping damping

	rounds        int
	lastFailure   string
	lastFailureAt time.Time
	probeError    string
}

// newStateMachine makes the machine of an uplink, whose link counts as good until Link tells
// otherwise. was is its status in a former run or the zero Status: what was down stays down until
// it is proven up, a link that was bad stays bad until Link says that it is good.
func newStateMachine(now time.Time, cfg Config, was Status) *stateMachine {
	cfg = cfg.withDefaults()
	m := &stateMachine{cfg: cfg, forced: ForceAuto, link: linkGood, verdict: firstVerdict(cfg), window: newWindow(cfg.Over)}
	m.seen = was.State != "" && was.State != Absent
	switch was.State {
	case Up, Degraded, Down, Unconfirmed:
		if cfg.Method != MethodNone || was.State == Down { // without a check it is a wait, which Tick ends
			m.verdict = was.State
		}
		m.held = was.LinkOnly
	case LinkDown:
		m.link, m.linkFailed = LinkState{}, true
	case AddressLost:
		m.link.Addressed = false
	case NoGateway:
		m.link.Routed = false
	case Standby:
		m.link.Addressed, m.link.Standby = false, true
	case OverQuota:
		if m.quota = QuotaDegrades; was.Closed {
			m.quota = QuotaCloses
		}
	case Absent:
		m.told, m.link.Addressed = true, false
	case ForcedUp:
		m.forced = ForceUp
	case ForcedDown:
		if m.forced = ForceDown; was.Closed {
			m.quota = QuotaCloses
		}
	}
	m.damping = damping{flaps: was.Flaps, changed: was.Since, until: was.HeldUntil}
	m.lastFailure, m.lastFailureAt = was.LastFailure, was.LastFailureAt
	m.state, _ = m.compose()
	m.wasClosed = m.closed()
	m.since = now
	if m.state == was.State && !was.Since.IsZero() {
		m.since, m.reason = was.Since, was.Reason
	}
	return m
}

// firstVerdict is what holds before the first round.
func firstVerdict(c Config) State {
	if c.Method == MethodNone {
		return Up
	}
	return Start
}

// compose returns the state that the sources come to, and why if it is not the probes'.
func (m *stateMachine) compose() (s State, why string) {
	switch m.forced {
	case ForceUp:
		return ForcedUp, "forced by the administrator"
	case ForceDown:
		return ForcedDown, "forced by the administrator"
	}
	s, why = m.link.State()
	switch {
	case s == "" && m.quota != QuotaLeft:
		return OverQuota, "its quota is used up"
	case s == "":
		return m.verdict, ""
	case m.cfg.Optional && m.told && !m.seen:
		return Absent, "the uplink has no IPv" + strconv.Itoa(int(m.cfg.Version))
	}
	return s, why
}

// change takes the new state, and returns the event if it differs from the old one, or ends other
// connections. why explains a verdict.
func (m *stateMachine) change(now time.Time, why string) (Event, bool) {
	state, own := m.compose()
	same := state == m.state
	if same && m.closed() == m.wasClosed {
		return Event{}, false
	}
	if own != "" && !same {
		why = own
	}
	e := Event{At: now, UplinkVersion: m.cfg.UplinkVersion, From: m.state, To: state, Reason: why}
	if !forcedState(e.From) && !forcedState(e.To) {
		switch {
		case e.From == Start && e.To == Down: // it never came up
		case renewal(e.To): // the line did not fail, it gets another address
		case e.From == OverQuota || e.To == OverQuota: // the line did not fail
		case e.From.Usable() && !e.To.Usable():
			m.damping.lost(now, m.cfg)
		case !e.From.Usable() && e.To.Usable():
			m.damping.regained(now)
		}
	}
	if m.state, m.reason = state, why; !same {
		m.since = now
	}
	m.wasClosed = m.closed()
	e.Closed = m.wasClosed
	return e, true
}

// closed reports whether a quota is used up that ends what runs. An order to leave the uplink alone
// does not make room in it.
func (m *stateMachine) closed() bool {
	return (m.state == OverQuota || m.state == ForcedDown) && m.quota == QuotaCloses
}

func forcedState(s State) bool { return s == ForcedUp || s == ForcedDown }

// probing reports whether rounds make sense now.
func (m *stateMachine) probing() bool {
	return m.cfg.Method != MethodNone && m.cfg.Method != MethodBFD && !m.cfg.Follows && m.link == linkGood
}

// fail takes a verdict of failed rounds: at once, or after the peers were asked.
func (m *stateMachine) fail(why string) string {
	if m.failing = why; m.verdict != Degraded && len(m.cfg.Peers) > 0 {
		m.asking = true
		return ""
	}
	m.verdict = Down
	return why
}

// Confirm takes what the peers answered: one of them, so that the failure is this uplink's own, or
// none, so that its cause is a common one.
func (m *stateMachine) Confirm(now time.Time, own bool) (Event, bool) {
	if !m.asking {
		return Event{}, false
	}
	m.asking = false
	if !own {
		m.verdict = Unconfirmed
		return m.change(now, "all checks fail together: "+m.lastFailure)
	}
	m.verdict = Down
	return m.change(now, m.failing)
}

// Follow takes the verdict of the uplink's other version.
func (m *stateMachine) Follow(now time.Time, leader *stateMachine) (Event, bool) {
	if leader.verdict == m.verdict || leader.verdict == Start || m.link != linkGood {
		return Event{}, false
	}
	m.verdict = leader.verdict
	m.lastFailure, m.lastFailureAt = leader.lastFailure, leader.lastFailureAt
	return m.change(now, fmt.Sprintf("follows IPv%d, as no target is of IPv%d", leader.cfg.Version, m.cfg.Version))
}

// Force takes an order of the administrator.
func (m *stateMachine) Force(now time.Time, mode string) (Event, bool, error) {
	switch mode {
	case ForceUp, ForceDown, ForceAuto:
	default:
		return Event{}, false, fmt.Errorf("forcing uplink %s: invalid mode %q: must be %s, %s or %s", m.cfg.Uplink,
			mode, ForceUp, ForceDown, ForceAuto)
	}
	m.forced = mode
	e, changed := m.change(now, "no longer forced")
	return e, changed, nil
}

// Quota takes what the uplink's quota says.
func (m *stateMachine) Quota(now time.Time, q Quota) (Event, bool) {
	m.quota = q
	if q != QuotaLeft {
		return m.change(now, "its quota is used up")
	}
	return m.change(now, "its quota is no longer used up")
}

// Link takes a change of the interface. A link that returns makes a new start: what probes said
// before is void.
func (m *stateMachine) Link(now time.Time, l LinkState) (Event, bool) {
	was, before := m.link.State()
	first := !m.told
	m.told, m.link = true, l
	is, problem := l.State()
	m.seen = m.seen || is == ""
	if first && m.cfg.Optional && !m.seen { // that it never had the version is not news
		m.state, _ = m.compose()
		return Event{}, false
	}
	if problem != "" && (was == "" || problem != before && problem != m.lastFailure) {
		m.lastFailure, m.lastFailureAt = problem, now
	}
	why := ""
	m.returned = m.returned || was != "" && is == ""
	m.linkFailed = m.linkFailed || is == LinkDown
	switch {
	case renewal(was) && is == "" && !m.linkFailed:
		why = m.renewed(was)
	case was == AddressLost && is == "":
		why = m.restart(now, "the interface has an address again")
	case was != "" && is == "":
		why = m.restart(now, "the link is back")
	}
	m.linkFailed = m.linkFailed && is != ""
	return m.change(now, why)
}

// renewed forgets the rounds, as what they say is of another address or gateway. What was found to
// be bad before has to prove itself, everything else is in use at once.
func (m *stateMachine) renewed(was State) string {
	m.forgetRounds()
	if m.verdict.Usable() {
		m.verdict = firstVerdict(m.cfg)
	}
	if was == NoGateway {
		return "the gateway is usable again"
	}
	if was == Standby {
		return "the interface holds the shared address"
	}
	return "the interface has an address again"
}

// restart forgets the rounds. The verdict is as at the very start, unless the uplink is held
// because it flaps.
func (m *stateMachine) restart(now time.Time, why string) string {
	m.forgetRounds()
	m.verdict = firstVerdict(m.cfg)
	if m.held = m.damping.held(now); m.held {
		m.verdict = Down
		wait := (m.damping.until.Sub(now) + time.Second - 1).Truncate(time.Second)
		return fmt.Sprintf("%s, but it is flapping (%d times): held down for another %v", why, m.damping.flaps, wait)
	}
	return why
}

func (m *stateMachine) forgetRounds() {
	m.good, m.bad, m.asking = 0, 0, false
	m.window = newWindow(m.cfg.Over)
}

// Configure takes a changed check. What rounds said stays as far as it still means something: a
// change of limits and times keeps all, a change of what is probed the verdict alone. An uplink
// that is not up makes a new start with a new gateway. Another interface makes another uplink of
// it.
func (m *stateMachine) Configure(now time.Time, cfg Config) (Event, bool) {
	old := m.cfg
	m.cfg = cfg.withDefaults()
	m.window.resize(m.cfg.Over)
	why := "the check changed"
	switch {
	case old.Interface != m.cfg.Interface:
		m.link, m.damping, m.returned = linkGood, damping{}, false
		why = m.restart(now, "the interface changed")
	case m.cfg.Method == MethodNone:
		if old.Method != MethodNone {
			why = m.restart(now, why)
		}
	case !old.sameGateways(m.cfg) && m.verdict != Up:
		m.returned = m.returned && m.verdict == Start // a link's gateway comes after its address
		why = m.restart(now, "the gateway changed")
	case !old.sameGateways(m.cfg) || !old.sameProbes(m.cfg):
		if m.forgetRounds(); m.verdict.Usable() && m.link.Good() { // -- what is not probed any more did not fail
			m.lastFailure, m.lastFailureAt = "", time.Time{}
		}
	}
	return m.change(now, why)
}

// Tick lets what only waited for its time happen.
func (m *stateMachine) Tick(now time.Time) (Event, bool) {
	if m.cfg.Method == MethodBFD {
		return m.tickSession(now)
	}
	if m.cfg.Method != MethodNone || m.verdict != Down || m.damping.held(now) {
		return Event{}, false
	}
	m.verdict = Up
	return m.change(now, "quiet for long enough")
}

// wake returns when Tick will have something to do, zero if no time is known.
func (m *stateMachine) wake() time.Time {
	if m.cfg.Method == MethodBFD {
		return m.wakeSession()
	}
	if m.cfg.Method == MethodNone && m.verdict == Down {
		return m.damping.until
	}
	return time.Time{}
}

// Status tells all of it.
func (m *stateMachine) Status(now time.Time) Status {
	q := m.window.quality(m.cfg.Quorum)
	d := m.damping
	d.forget(now)
	s := Status{
		UplinkVersion: m.cfg.UplinkVersion, State: m.state, Closed: m.closed(), Since: m.since, Reason: m.reason,
		RTT: q.rtt, Jitter: q.jitter, Loss: q.loss, Rounds: m.rounds,
		LastFailure: m.lastFailure, LastFailureAt: m.lastFailureAt, ProbeError: m.probeError, Flaps: d.flaps,
	}
	if d.held(now) && !m.state.Usable() {
		s.HeldUntil = d.until
	}
	s.LinkOnly = m.state == Down && m.held
	return s
}

func notProbed(err error) bool { return errors.Is(err, ErrNotProbed) }
