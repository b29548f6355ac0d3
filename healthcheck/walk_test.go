package healthcheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pbr/integration/race"
)

// TestMachineWalksAtRandom plays long random stories, and checks after each step what must always
// hold.
func TestMachineWalksAtRandom(t *testing.T) {
	for seed := range uint64(race.Cases(100)) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := pingConfig()
		c.DownAfter, c.UpAfter, c.Over = 1+r.IntN(4), 1+r.IntN(4), 1+r.IntN(10)
		if seed%3 == 0 {
			c.MaxLoss, c.MaxRTT = r.Float64(), time.Duration(r.IntN(100))*time.Millisecond
		}
		if seed%10 == 0 {
			c.Method = MethodNone
		}
		m := newStateMachine(epoch, c, Status{})
		now, state := epoch, m.state
		for step := range 500 {
			now = now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
			held := m.damping.held(now)
			what, e, changed := stepAtRandom(r, m, now)
			if err := consistent(m, now, state, held, e, changed); err != nil {
				t.Fatalf("seed %d, step %d, %s: %v: %+v", seed, step, what, err, m.Status(now))
			}
			state = m.state
		}
	}
}

// stepAtRandom lets something happen to a machine.
func stepAtRandom(r *rand.Rand, m *stateMachine, now time.Time) (what string, e Event, changed bool) {
	switch n := r.IntN(20); {
	case n == 0:
		l := LinkState{Exists: r.IntN(4) > 0, Up: r.IntN(4) > 0, Carrier: r.IntN(4) > 0, Addressed: r.IntN(4) > 0, Routed: r.IntN(4) > 0}
		e, changed = m.Link(now, l)
		return fmt.Sprintf("%+v", l), e, changed
	case n < 3:
		e, changed = m.Link(now, linkGood)
		return "link", e, changed
	case n == 3:
		mode := []string{ForceUp, ForceDown, ForceAuto, ForceAuto}[r.IntN(4)]
		e, changed, _ = m.Force(now, mode)
		return mode, e, changed
	case n == 4:
		e, changed = m.Tick(now)
		return "tick", e, changed
	case n == 5:
		c := m.cfg
		c.Over, c.DownAfter = 1+r.IntN(10), 1+r.IntN(4)
		e, changed = m.Configure(now, c)
		return "configure", e, changed
	}
	if !m.probing() {
		return "nothing", Event{}, false
	}
	answers := []Answer{{Target: "a", RTT: time.Duration(r.IntN(200)) * time.Millisecond}, {Target: "b", Err: errLost}}
	switch r.IntN(3) {
	case 0:
		answers[0] = Answer{Target: "a", Err: errLost}
	case 1:
		answers[1] = Answer{Target: "b", Err: ErrNotProbed}
	}
	e, changed = m.Round(now, answers)
	return fmt.Sprint(answers), e, changed
}

// consistent returns what is wrong with a machine after a step from a state.
func consistent(m *stateMachine, now time.Time, was State, held bool, e Event, changed bool) error {
	bad, _ := m.link.State()
	switch {
	case changed != (was != m.state):
		return fmt.Errorf("it was %s, changed: %v", was, changed)
	case changed && (e.From != was || e.To != m.state || !e.At.Equal(now) || e.Reason == ""):
		return fmt.Errorf("event %+v after %s", e, was)
	case m.forced == ForceUp && m.state != ForcedUp, m.forced == ForceDown && m.state != ForcedDown:
		return errors.New("forced in vain")
	case m.forced == ForceAuto && bad != "" && m.state != bad:
		return errors.New("a bad link does not count")
	case changed && held && e.To.Usable() && !forcedState(e.From) && !forcedState(e.To):
		return errors.New("up while held")
	case len(m.window.rounds) > m.cfg.Over:
		return errors.New("the window grows")
	}
	return restorable(m, now)
}

// restorable reports whether a machine's status, written as JSON and read again, makes a machine
// that stands where it stood.
func restorable(m *stateMachine, now time.Time) error {
	b, err := json.Marshal(m.Status(now))
	if err != nil {
		return err
	}
	var s Status
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	again := newStateMachine(now, m.cfg, s)
	if again.state != m.state || !again.since.Equal(m.since) || again.lastFailure != m.lastFailure ||
		again.damping.held(now) != m.damping.held(now) && !m.state.Usable() {
		return fmt.Errorf("restored from %s it is %s since %v", b, again.state, again.since)
	}
	return nil
}
