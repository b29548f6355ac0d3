package healthcheck

import (
	"slices"
	"testing"
	"time"

	"pbr/integration/steps"
)

// peers are two lines that could take over from each other, in a version.
func peers(version Version, targets ...string) (list []Config) {
	for i, target := range targets {
		c := checked([]string{"isp1", "isp2"}[i], target)
		c.UplinkVersion.Version = version
		c.Peers = []string{[]string{"isp2", "isp1"}[i]}
		list = append(list, c)
	}
	return list
}

// A target that both check dies: neither is given up. Whoever answers first is up, and the other
// one, which then fails alone, is down. With a check of its own every hour the peer is asked
// anyway.
func TestMonitorDeadTarget(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 7 * time.Second, time.Hour} {
		t.Run(interval.String(), func(t *testing.T) {
			configs := peers(4, "a", "b")
			configs[1].Interval = interval
			inBubble(t, configs, nil, func(b *bench) {
				b.unordered(300*time.Millisecond, "isp1:start>up", "isp2:start>up")
				b.probe.set("a", silence)
				b.probe.set("b", silence)
				want := func(when string, isp1 State, isp2 ...State) {
					t.Helper()
					if b.events(6 * time.Second); b.state("isp1") != isp1 || !slices.Contains(isp2, b.state("isp2")) {
						t.Errorf("interval %v, %s: %s and %s, not %s and one of %s", interval, when, b.state("isp1"),
							b.state("isp2"), isp1, isp2)
					}
				}
				want("the target is dead", Unconfirmed, Unconfirmed, Up) // isp2's own rounds may be far apart
				b.probe.set("b", fakeAnswer{delay: time.Millisecond})
				want("it answers isp2", Down, Up)
			})
		})
	}
}

// The first target of a peer that answers is enough: a silent one beside it costs no time.
func TestMonitorAsksUntilTheFirstAnswer(t *testing.T) {
	configs := peers(4, "a", "b")
	configs[1].Targets = []string{"b", "c"}
	inBubble(t, configs, nil, func(b *bench) {
		b.probe.set("c", silence)
		b.unordered(1300*time.Millisecond, "isp1:start>up", "isp2:start>up")
		b.probe.set("a", silence)
		b.after(configs[0].DownWithin(), "isp1:up>down")
	})
}

// One that answers again is up at once, whatever up-after says, and was never down.
func TestMonitorTargetReturns(t *testing.T) {
	inBubble(t, peers(6, "a", "b"), nil, func(b *bench) {
		b.unordered(300*time.Millisecond, "isp1:start>up", "isp2:start>up")
		b.probe.set("a", silence)
		b.probe.set("b", silence)
		b.unordered(8*time.Second, "isp1:up>unconfirmed", "isp2:up>unconfirmed")
		b.probe.set("a", fakeAnswer{delay: time.Millisecond})
		b.probe.set("b", fakeAnswer{delay: time.Millisecond})
		b.unordered(3*time.Second, "isp1:unconfirmed>up", "isp2:unconfirmed>up")
		for _, s := range b.Statuses() {
			if s.Flaps != 0 {
				t.Errorf("%s flapped %d times", s.Uplink, s.Flaps)
			}
		}
	})
}

// The failure is the line's own if a peer answers, has no check, or is not usable itself.
func TestJury(t *testing.T) {
	line := func(change func(*stateMachine)) *stateMachine {
		m := newStateMachine(epoch, pingConfig(), Status{})
		change(m)
		m.state, _ = m.compose()
		return m
	}
	up := line(func(m *stateMachine) { m.verdict = Up })
	down := line(func(m *stateMachine) { m.verdict = Down })
	unchecked := line(func(m *stateMachine) { m.cfg.Method = MethodNone; m.verdict = Up })
	unplugged := line(func(m *stateMachine) { m.cfg.Method = MethodNone; m.link.Carrier = false })
	for name, row := range map[string]struct {
		peers     []*stateMachine
		confirmed bool
		ask       int
	}{
		"nobody":                            {nil, true, 0},
		"a usable one":                      {[]*stateMachine{up, down}, false, 1},
		"only one that is down":             {[]*stateMachine{down}, true, 0},
		"one without a check":               {[]*stateMachine{up, unchecked}, true, 0},
		"one without a check, and no cable": {[]*stateMachine{up, unplugged}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			confirmed, ask := jury(row.peers)
			if confirmed != row.confirmed || len(ask) != row.ask {
				t.Errorf("%s: %v, %d to ask", name, confirmed, len(ask))
			}
		})
	}
}

// A version without targets follows the other one, in everything but its own link.
func TestMonitorFollows(t *testing.T) {
	four, six := checked("isp1", "a"), checked("isp1", "")
	four.UplinkVersion.Version, six.UplinkVersion.Version, six.Follows, six.Targets = 4, 6, true, nil
	inBubble(t, []Config{four, six}, nil, func(b *bench) {
		b.unordered(300*time.Millisecond, "isp1:start>up", "isp1:start>up")
		b.probe.set("a", silence)
		b.unordered(6*time.Second, "isp1:up>down", "isp1:up>down")
		b.Link(UplinkVersion{"isp1", 6}, LinkState{Exists: true, Up: true, Carrier: true, Routed: true})
		b.after(0, "isp1:down>address-lost")
		b.probe.set("a", fakeAnswer{delay: time.Millisecond})
		b.after(6*time.Second, "isp1:down>up")
		b.Link(UplinkVersion{"isp1", 6}, linkGood)
		b.after(0, "isp1:address-lost>down", "isp1:down>up")
	})
}

// What an optional version never had is absent, and no news; once it was there, it is missed.
func TestAbsent(t *testing.T) {
	c := pingConfig()
	c.Optional, c.Version = true, 6
	m := newStateMachine(epoch, c, Status{})
	bare := LinkState{Exists: true, Up: true, Carrier: true}
	t.Run("at the start it is not news", func(t *testing.T) {
		if _, changed := m.Link(epoch, bare); changed || m.state != Absent {
			t.Errorf("at the start: %s, told: %v", m.state, changed)
		}
	})
	t.Run("absent is not a failure", func(t *testing.T) {
		if m.state.Failed() || m.state.Usable() || m.state.Dead() {
			t.Error("absent is a failure")
		}
	})
	now := epoch
	for _, step := range []struct {
		link LinkState
		want State
	}{{linkGood, Start}, {bare, AddressLost}, {LinkState{Exists: true, Up: true, Carrier: true, Addressed: true},
		NoGateway}, {linkGood, Start}} {
		now = now.Add(time.Second)
		if m.Link(now, step.link); m.state != step.want {
			t.Errorf("%+v: %s, not %s", step.link, m.state, step.want)
		}
	}
	if m.damping.flaps != 0 {
		t.Errorf("%d flaps", m.damping.flaps)
	}
}

// Jitter is the mean difference of consecutive round trips; a line at the limit does not swing.
func TestJitter(t *testing.T) {
	c := pingConfig()
	c.MaxJitter, c.Over = 20*time.Millisecond, 4
	m := newStateMachine(epoch, c, Status{})
	s := &script{m: m, now: epoch}
	step := steps.Of(t)
	step.Run("it is the mean difference of consecutive round trips", func(t *testing.T) {
		s.play(t, "g10 g20 g30 g40")
		if q := m.window.quality(1); q.jitter != 10*time.Millisecond || m.state != Up {
			t.Errorf("jitter %v, %s", q.jitter, m.state)
		}
	})
	step.Run("above the limit the line is degraded", func(t *testing.T) {
		s.play(t, "g100 g10")
		if m.state != Degraded {
			t.Errorf("%s with a jitter of %v", m.state, m.window.quality(1).jitter)
		}
	})
	step.Run("just below the limit it stays so", func(t *testing.T) {
		s.play(t, "g29 g10 g29 g10 g29 g10")
		if m.state != Degraded { // 19 ms: below the limit, and not below 80 % of it
			t.Errorf("%s with a jitter of %v", m.state, m.window.quality(1).jitter)
		}
	})
	step.Run("well below the limit it is up", func(t *testing.T) {
		s.play(t, "g10 g12 g10 g12 g10")
		if m.state != Up {
			t.Errorf("%s with a jitter of %v", m.state, m.window.quality(1).jitter)
		}
	})
}
