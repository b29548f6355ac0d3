package healthcheck

import (
	"context"
	"fmt"
	"time"
)

// Sessioner is a Prober that can hold a session with a gateway (BFD), which tells by itself when it
// ends.
type Sessioner interface {
	// Hold keeps a session for the uplink until ctx ends, and tells of each change of it. An error,
	// always ErrNotProbed, says that none can be held at the moment.
	Hold(ctx context.Context, c Config, tell func(Session)) error
}

// SessionState is where a session is.
type SessionState uint8

const (
	// SessionStarts: the peer has not agreed yet; nothing is known.
	SessionStarts SessionState = iota
	// SessionUp: packets arrive both ways.
	SessionUp
	// SessionDown: they did, and do not any more.
	SessionDown
	// SessionOff: the peer's administrator switched it off, which is not a failure (RFC 5882, 4.2).
	SessionOff
)

// Session is what is known of one.
type Session struct {
	State SessionState
	// Reason is for people: why it is down.
	Reason string
}

const (
	// sessionPatience is how long a session may take to come up before the uplink counts as down:
	// packets go once a second until then (RFC 5880, 6.8.3), and three have to arrive.
	sessionPatience = 5 * time.Second
	// sessionRetry is the time between two attempts to open one that failed.
	sessionRetry = time.Second
	// sessionUpWithin is what three packets need that are a second apart.
	sessionUpWithin = 3 * time.Second
)

// gateway is the one of the uplink's version.
func (c Config) gateway() (text string, known bool) {
	gw := c.Gateway4
	if c.Version == 6 {
		gw = c.Gateway6
	}
	return gw.String(), gw.IsValid()
}

// holding reports whether a session makes sense now.
func (m *stateMachine) holding() bool {
	return m.cfg.Method == MethodBFD && !m.cfg.Follows && m.link == linkGood
}

// Open notes that a session is begun.
func (m *stateMachine) Open(now time.Time) {
	m.session, m.sessionBy = SessionStarts, now.Add(sessionPatience)
}

// Unheld notes why no session can be held; nothing is known of the uplink then.
func (m *stateMachine) Unheld(err error) {
	m.probeError, m.sessionBy = errorText(err), time.Time{}
}

// Session takes a change of the session. Its end is certain: no peer is asked.
func (m *stateMachine) Session(now time.Time, s Session) (Event, bool) {
	m.session, m.probeError, m.good, m.bad, m.asking = s.State, "", 0, 0, false
	gw, _ := m.cfg.gateway()
	switch s.State {
	case SessionStarts:
		m.sessionBy = now.Add(sessionPatience)
		return Event{}, false
	case SessionDown:
		return m.ended(now, fmt.Sprintf("the BFD session with %s ended: %s", gw, s.Reason))
	case SessionOff:
		m.probeError = fmt.Sprintf("%s switched its BFD session off (AdminDown): only the link counts", gw)
	}
	m.good = 1
	if m.verdict == Down && m.damping.held(now) {
		return Event{}, false // until Tick
	}
	m.verdict = Up
	return m.change(now, m.sessionReason())
}

func (m *stateMachine) sessionReason() string {
	gw, _ := m.cfg.gateway()
	if m.session == SessionOff {
		return gw + " switched its BFD session off"
	}
	return "the BFD session with " + gw + " is up"
}

// ended takes the end of a session, or that none came up.
func (m *stateMachine) ended(now time.Time, why string) (Event, bool) {
	m.bad, m.held = 1, false
	m.lastFailure, m.lastFailureAt = why, now
	m.verdict = Down
	return m.change(now, why)
}

// tickSession lets the time of a session that does not come up end, and that of an uplink that
// flapped.
func (m *stateMachine) tickSession(now time.Time) (Event, bool) {
	agreed := m.session == SessionUp || m.session == SessionOff
	switch {
	case !m.holding():
	case agreed && m.verdict == Down && !m.damping.held(now):
		m.verdict = Up
		return m.change(now, m.sessionReason())
	case m.session == SessionStarts && m.verdict != Down && !m.sessionBy.IsZero() && !now.Before(m.sessionBy):
		gw, _ := m.cfg.gateway()
		return m.ended(now, fmt.Sprintf("no BFD session with %s within %v", gw, sessionPatience))
	}
	return Event{}, false
}

// wakeSession is when tickSession has something to do.
func (m *stateMachine) wakeSession() time.Time {
	switch {
	case !m.holding():
	case m.session == SessionStarts && m.verdict != Down:
		return m.sessionBy
	case m.session != SessionStarts && m.session != SessionDown && m.verdict == Down:
		return m.damping.until
	}
	return time.Time{}
}

// hold keeps an uplink's session until something changes what it is of.
func (m *Monitor) hold(w *worker) {
	held, cancel := context.WithCancel(w.ctx)
	defer cancel()
	defer m.unhold(w)
	m.mu.Lock()
	cfg, generation, wanted := w.states.cfg, w.generation, w.states.holding()
	w.abort = cancel
	if wanted {
		w.states.Open(time.Now())
	}
	m.mu.Unlock()
	if !wanted { // something happened in between
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- m.session(held, w, cfg, generation) }()
	if err := m.wait(w, ended); err != nil {
		m.reportOnce(w, err)
		pause(held, sessionRetry)
	}
}

// unhold lets rounds, or another session, begin.
func (m *Monitor) unhold(w *worker) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.abort, w.held = nil, false
	m.kick(w)
}

// session holds one, and notes what happens to it. The error is nil when it was to end.
func (m *Monitor) session(ctx context.Context, w *worker, cfg Config, generation int) error {
	s, able := m.prober.(Sessioner)
	if !able {
		return fmt.Errorf("%w: this prober holds no sessions", ErrNotProbed)
	}
	err := s.Hold(ctx, cfg, func(now Session) {
		if m.sessionTold(w, generation, now) {
			m.reportOnce(w, nil)
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil || w.generation != generation {
		return nil
	}
	w.states.Unheld(err)
	return err
}

// sessionTold takes a change of a session, and passes the uplink's verdict on. It reports whether
// the session goes on.
func (m *Monitor) sessionTold(w *worker, generation int, now Session) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.generation != generation {
		return false
	}
	m.emit(w.states.Session(time.Now(), now))
	m.follow(time.Now(), w)
	m.confirm(w)
	poke(w.session) // the next Tick may be due at another time
	return true
}

// wait lets a session continue until it ends, and the machine do what only waits for its time.
func (m *Monitor) wait(w *worker, ended <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if at := m.tick(w); !at.IsZero() {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case err := <-ended:
			return err
		case <-timer.C:
		case <-w.session:
		}
	}
}

// tick does what only waited for its time, and returns when there is more to do.
func (m *Monitor) tick(w *worker) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.emit(w.states.Tick(time.Now()))
	m.follow(time.Now(), w)
	return w.states.wake()
}

// reportOnce tells of an error that is new, or that it is over.
func (m *Monitor) reportOnce(w *worker, err error) {
	m.mu.Lock()
	text := errorText(err)
	fresh := text != w.reported
	w.reported = text
	m.mu.Unlock()
	if fresh && m.Report != nil {
		m.Report(w.uv, err)
	}
}

// pause waits, not longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
