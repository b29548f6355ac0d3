package healthcheck

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// epoch is when every test of a machine begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func pingConfig() Config {
	return Config{UplinkVersion: UplinkVersion{Uplink: "isp1"}, Interface: "eth1", Method: MethodPing,
		Targets: []string{"192.0.2.1"}, IPv4: true,
		Interval: time.Second, Timeout: time.Second, DownAfter: 3, UpAfter: 3, Quorum: 1, Over: 20}
}

var errLost = errors.New("no answer within 1s")

// script plays a states: each word is one event, a second after the one before.
//
//	g, b, n   a good, a bad, a not probed round of one target
//	g40       a good round with a round trip of 40 ms
//	+5        five seconds pass
//	up down auto      orders
//	nocarrier gone off noaddr link   the link
type script struct {
	m   *stateMachine
	now time.Time
	// log has every event: FROM>TO@SECOND.
	log     []string
	reasons []string
}

func (s *script) play(t *testing.T, words string) {
	t.Helper()
	for _, w := range strings.Fields(words) {
		var e Event
		var changed bool
		var err error
		rtt := 10
		_, _ = fmt.Sscanf(w, "g%d", &rtt)
		switch {
		case strings.HasPrefix(w, "+"):
			var sec int
			if _, err = fmt.Sscanf(w, "+%d", &sec); err != nil {
				t.Fatal(err)
			}
			s.now = s.now.Add(time.Duration(sec) * time.Second)
			e, changed = s.m.Tick(s.now)
			s.note(e, changed)
			continue
		case strings.HasPrefix(w, "g") && w != "gone":
			e, changed = s.round(nil, time.Duration(rtt)*time.Millisecond)
		case w == "b":
			e, changed = s.round(errLost, 0)
		case w == "n":
			e, changed = s.round(fmt.Errorf("%w: no socket", ErrNotProbed), 0)
		case w == "up" || w == "down" || w == "auto":
			e, changed, err = s.m.Force(s.now, w)
		case w == "nocarrier":
			e, changed = s.m.Link(s.now, LinkState{Exists: true, Up: true, Addressed: true, Routed: true})
		case w == "off":
			e, changed = s.m.Link(s.now, LinkState{Exists: true, Addressed: true})
		case w == "gone":
			e, changed = s.m.Link(s.now, LinkState{})
		case w == "noaddr":
			e, changed = s.m.Link(s.now, LinkState{Exists: true, Up: true, Carrier: true})
		case w == "link":
			e, changed = s.m.Link(s.now, linkGood)
		default:
			t.Fatalf("no word %q", w)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.note(e, changed)
		s.now = s.now.Add(time.Second)
	}
}

func (s *script) round(err error, rtt time.Duration) (Event, bool) {
	if !s.m.probing() {
		return Event{}, false // as the monitor does
	}
	return s.m.Round(s.now, []Answer{{Target: "192.0.2.1", RTT: rtt, Err: err}})
}

func (s *script) note(e Event, changed bool) {
	if changed {
		s.log = append(s.log, fmt.Sprintf("%s>%s@%g", e.From, e.To, e.At.Sub(epoch).Seconds()))
		s.reasons = append(s.reasons, e.Reason)
	}
}

func TestMachine(t *testing.T) {
	none := func(c *Config) { c.Method = MethodNone }
	for _, row := range []struct {
		name   string
		change func(*Config)
		words  string
		want   string
	}{
		{"the first good round is a verdict", nil, "g", "start>up@0"},
		{"the first bad round is a verdict", nil, "b", "start>down@0"},
		{"down after three bad rounds", nil, "g b b b", "start>up@0 up>down@3"},
		{"a good round in between starts a new count", nil, "g b b g b b", "start>up@0"},
		{"up after three good rounds", nil, "b g g g", "start>down@0 down>up@3"},
		{"a bad round in between starts a new count", nil, "b g g b g g", "start>down@0"},
		{"a round that was not probed is none", nil, "n n n g n n n b b n b", "start>up@3 up>down@10"},
		{"down-after 1", func(c *Config) { c.DownAfter = 1 }, "g b", "start>up@0 up>down@1"},

		{"carrier lost and back: probe again", nil, "g nocarrier g link g", "start>up@0 up>link-down@1 link-down>start@3 start>up@4"},
		{"one lost round after the link is not a verdict", nil, "g nocarrier link b b g b b",
			"start>up@0 up>link-down@1 link-down>start@2 start>up@5"},
		{"three are", nil, "g nocarrier link b b b", "start>up@0 up>link-down@1 link-down>start@2 start>down@5"},
		{"a link without a line behind it is no second flap", nil, "g nocarrier link b b b g g g",
			"start>up@0 up>link-down@1 link-down>start@2 start>down@5 down>up@8"},
		{"a dead line at the start is not a flap", nil, "b g g g b b b g g g", "start>down@0 down>up@3 up>down@6 down>up@9"},
		{"a dead uplink gets a new start with its link", nil, "b nocarrier link", "start>down@0 down>link-down@1 link-down>start@2"},
		{"other troubles of the link", nil, "gone off nocarrier noaddr link",
			"start>link-down@0 link-down>address-lost@3 address-lost>start@4"},
		{"address lost", nil, "g noaddr link", "start>up@0 up>address-lost@1 address-lost>start@2"},
		{"the same link twice", nil, "g link link", "start>up@0"},

		{"no check: up as long as the link is", none, "nocarrier link", "up>link-down@0 link-down>up@1"},
		{"no check: rounds mean nothing", none, "b b b b", ""},

		{"forced down hides all, auto uncovers it", nil, "g down b b b auto", "start>up@0 up>forced-down@1 forced-down>down@5"},
		{"forced up hides all, auto uncovers it", nil, "b up b auto", "start>down@0 down>forced-up@1 forced-up>down@3"},
		{"forced up over a bad link", nil, "g up nocarrier auto", "start>up@0 up>forced-up@1 forced-up>link-down@3"},
		{"forced twice", nil, "down down up", "start>forced-down@0 forced-down>forced-up@2"},
		{"auto without force", nil, "auto", ""},

		{"two flaps: the second waits 6 s", nil, "g b b b g g g b b b g g g g g g g",
			"start>up@0 up>down@3 down>up@6 up>down@9 down>up@15"},
		{"three flaps: the third waits 12 s", nil, "g b b b g g g b b b g g g g g g b b b +8 g g g g",
			"start>up@0 up>down@3 down>up@6 up>down@9 down>up@15 up>down@18 down>up@30"},
		{"bad rounds while held", nil, "g b b b g g g b b b +6 g b g g g", "start>up@0 up>down@3 down>up@6 up>down@9 down>up@20"},
		{"flaps are forgotten after ten quiet minutes", nil, "g b b b g g g +600 b b b g g g",
			"start>up@0 up>down@3 down>up@6 up>down@609 down>up@612"},
		{"a link that flaps is held", nil, "g nocarrier link g nocarrier link g g g g g",
			"start>up@0 up>link-down@1 link-down>start@2 start>up@3 up>link-down@4 link-down>down@5 down>up@10"},
		{"no check: a link that flaps is held", none, "nocarrier link nocarrier link +5",
			"up>link-down@0 link-down>up@1 up>link-down@2 link-down>down@3 down>up@9"},
		{"orders are no flaps", nil, "g down auto down auto down auto b b b g g g",
			"start>up@0 up>forced-down@1 forced-down>up@2 up>forced-down@3 forced-down>up@4 up>forced-down@5 " +
				"forced-down>up@6 up>down@9 down>up@12"},

		{"loss over its limit", func(c *Config) { c.MaxLoss, c.Over = 0.2, 10 }, "g g b g b g b", "start>up@0 up>degraded@6"},
		{"loss at its limit", func(c *Config) { c.MaxLoss, c.Over = 0.2, 10 }, "g g b g b g g g g g g g b", "start>up@0"},
		{"loss has gone", func(c *Config) { c.MaxLoss, c.Over = 0.2, 10 }, "g b g b g b g g g g g g g g",
			"start>up@0 up>degraded@5 degraded>up@13"},
		{"degraded, then down", func(c *Config) { c.MaxLoss, c.Over = 0.2, 10 }, "g b g b b b", "start>up@0 up>degraded@4 degraded>down@5"},
		{"lost rounds of a former death do not degrade", func(c *Config) { c.MaxLoss, c.Over = 0.2, 10 }, "g b b b b b b g g g g",
			"start>up@0 up>down@3 down>up@9"},
		{"round trip over its limit", func(c *Config) { c.MaxRTT = 100 * time.Millisecond }, "g90 g90 g150", "start>up@0 up>degraded@2"},
		{"round trip: one late answer at the begin is none", func(c *Config) { c.MaxRTT = 100 * time.Millisecond },
			"g150 g50 g50", "start>up@0"},
		{"round trip good again", func(c *Config) { c.MaxRTT, c.Over = 100*time.Millisecond, 4 }, "g90 g90 g150 g50 g50 g50 g50",
			"start>up@0 up>degraded@2 degraded>up@5"},
		{"it answers again, but too slowly", func(c *Config) { c.MaxRTT = 100 * time.Millisecond },
			"b g150 g150 g150", "start>down@0 down>degraded@3"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := pingConfig()
			if row.change != nil {
				row.change(&c)
			}
			s := &script{m: newStateMachine(epoch, c, Status{}), now: epoch}
			s.play(t, row.words)
			if got := strings.Join(s.log, " "); got != row.want {
				t.Errorf("%s\n got %s\nwant %s\nwhy %q", row.words, got, row.want, s.reasons)
			}
			for i, r := range s.reasons {
				if r == "" {
					t.Errorf("event %s has no reason", s.log[i])
				}
			}
		})
	}
}

// Why a state began is kept over a restart, and a failure is forgotten with what was probed.
func TestWhy(t *testing.T) {
	config := Config{UplinkVersion: UplinkVersion{Uplink: "isp1", Version: 4}, Method: MethodPing, MaxLoss: 0.2, Over: 5}
	s := &script{m: newStateMachine(epoch, config, Status{}), now: epoch}
	s.play(t, "g g g b b")
	was := s.m.Status(s.now)
	if was.State != Degraded || !strings.Contains(was.Why(), "loss of 40 %") || was.LastFailure != "192.0.2.1: "+errLost.Error() {
		t.Errorf("degraded: %+v", was)
	}
	if again := newStateMachine(s.now, s.m.cfg, was).Status(s.now); again.Why() != was.Why() {
		t.Errorf("after a restart: %q, not %q", again.Why(), was.Why())
	}
	s.play(t, "g g g g g g")
	next := s.m.cfg
	next.Targets = []string{"8.8.8.8"}
	s.m.Configure(s.now, next)
	if got := s.m.Status(s.now); got.State != Up || got.LastFailure != "" || !got.LastFailureAt.IsZero() {
		t.Errorf("with another target: %+v", got)
	}
}

// The last failure is the link's when that was lost, and stays known, with its time, afterwards.
func TestLastFailureOfTheLink(t *testing.T) {
	for _, row := range []struct{ words, failure, reason string }{
		{"g b g nocarrier", "carrier lost", "carrier lost"},
		{"g nocarrier link", "carrier lost", "the link is back"},
		{"g noaddr", "the interface has no address", "the interface has no address"},
		{"g noaddr link", "the interface has no address", "the interface has an address again"},
		{"g nocarrier link g nocarrier link", "carrier lost", "the link is back, but it is flapping (2 times): held down for another 5s"},
	} {
		t.Run(row.words, func(t *testing.T) {
			s := &script{m: newStateMachine(epoch, pingConfig(), Status{}), now: epoch}
			s.play(t, row.words)
			got := s.m.Status(s.now)
			if got.LastFailure != row.failure || got.LastFailureAt.Before(epoch) {
				t.Errorf("%s: the last failure is %q at %v, not %q", row.words, got.LastFailure, got.LastFailureAt, row.failure)
			}
			if reason := s.reasons[len(s.reasons)-1]; reason != row.reason {
				t.Errorf("%s: the reason is %q, not %q", row.words, reason, row.reason)
			}
		})
	}
	t.Run("after a restart the same failure is as old as before", func(t *testing.T) {
		was := Status{State: LinkDown, LastFailure: "carrier lost", LastFailureAt: epoch}
		m := newStateMachine(epoch.Add(time.Hour), pingConfig(), was)
		m.Link(epoch.Add(time.Hour), LinkState{Exists: true, Up: true, Addressed: true, Routed: true})
		if got := m.Status(epoch.Add(time.Hour)); !got.LastFailureAt.Equal(epoch) {
			t.Errorf("after a restart the same failure is of %v", got.LastFailureAt)
		}
	})
}

// A hold that comes of the link alone says so, until probes fail, and a restart knows it still.
func TestLinkOnly(t *testing.T) {
	for _, row := range []struct {
		method, words string
		want          bool
	}{
		{MethodPing, "g nocarrier link g nocarrier link", true},
		{MethodPing, "g nocarrier link g nocarrier link b b g", true},
		{MethodPing, "g nocarrier link g nocarrier link b b b", false},
		{MethodPing, "g b b b", false},
		{MethodPing, "g nocarrier link b b b", false},
		{MethodNone, "nocarrier link nocarrier link", true},
		{MethodNone, "nocarrier link nocarrier link +60", false},
	} {
		t.Run(row.method+" "+row.words, func(t *testing.T) {
			c := pingConfig()
			c.Method = row.method
			s := &script{m: newStateMachine(epoch, c, Status{}), now: epoch}
			s.play(t, row.words)
			if got := s.m.Status(s.now); got.LinkOnly != row.want {
				t.Errorf("%s, %s: %+v", row.method, row.words, got)
			}
			if got := newStateMachine(s.now, c, s.m.Status(s.now)).Status(s.now); got.LinkOnly != row.want {
				t.Errorf("%s, %s: after a restart %+v", row.method, row.words, got)
			}
		})
	}
}

// A wait that ended while nobody looked ends with the first look.
func TestAWaitThatEndedInBetween(t *testing.T) {
	c := pingConfig()
	c.Method = MethodNone
	m := newStateMachine(epoch, c, Status{State: Down, LinkOnly: true})
	if e, changed := m.Tick(epoch); m.state != Up || !changed || e.From != Down {
		t.Errorf("it is %s: %+v", m.state, e)
	}
}
