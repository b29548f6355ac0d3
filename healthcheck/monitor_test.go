package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMonitorDeclaresDownAndUp(t *testing.T) {
	inBubble(t, []Config{checked("isp1", "a"), checked("isp2", "b")}, nil, func(b *bench) {
		b.probe.set("a", fakeAnswer{delay: 10 * time.Millisecond})
		b.probe.set("b", fakeAnswer{delay: 20 * time.Millisecond})
		if b.state("isp1") != Start {
			t.Errorf("before the first answer: %s", b.state("isp1"))
		}
		b.unordered(300*time.Millisecond, "isp1:start>up", "isp2:start>up")
		b.probe.set("a", silence)
		b.after(b.workers[UplinkVersion{Uplink: "isp1"}].states.cfg.DownWithin(), "isp1:up>down")
		if got := b.Statuses()[0]; !strings.Contains(got.LastFailure, "a: no answer within 1s") {
			t.Errorf("last failure %q", got.LastFailure)
		}
		b.probe.set("a", fakeAnswer{delay: time.Millisecond})
		b.after(b.workers[UplinkVersion{Uplink: "isp1"}].states.cfg.UpWithin()+10*time.Millisecond, "isp1:down>up")
	})
}

func TestMonitorJudgesTheFirstRoundWithinATimeout(t *testing.T) {
	c := checked("isp1", "a")
	c.Interval = time.Hour
	inBubble(t, []Config{c}, nil, func(b *bench) {
		b.probe.set("a", silence)
		b.after(maxJitter+c.Timeout, "isp1:start>down")
	})
}

func TestMonitorProbesEachInterval(t *testing.T) {
	c := checked("isp1", "a", "b")
	c.Interval, c.Timeout = 100*time.Millisecond, time.Second
	inBubble(t, []Config{c}, nil, func(b *bench) {
		b.probe.set("a", fakeAnswer{delay: 30 * time.Millisecond})
		b.probe.set("b", fakeAnswer{delay: 60 * time.Millisecond})
		b.after(10*time.Second, "isp1:start>up")
		if n := b.probe.count("isp1"); n < 198 || n > 200 {
			t.Errorf("%d probes of two targets in 10 s at 100 ms", n)
		}
		times := b.probe.times["isp1"]
		for i := 2; i < len(times); i += 2 {
			if d := times[i] - times[i-2]; d != c.Interval || times[i] != times[i+1] {
				t.Fatalf("rounds at %v and %v, %v and %v", times[i-2], times[i-1], times[i], times[i+1])
			}
		}
	})
}

func TestMonitorSpreadsTheStarts(t *testing.T) {
	var configs []Config
	for i := range 100 {
		configs = append(configs, checked(fmt.Sprintf("isp%d", i), "a"))
	}
	inBubble(t, configs, nil, func(b *bench) {
		b.events(maxJitter / 2)
		begun := 0
		for _, c := range configs {
			begun += b.probe.count(c.Uplink)
		}
		if begun < 30 || begun > 70 {
			t.Errorf("%d of 100 uplinks were probed in half of the time for the start", begun)
		}
		if n := len(b.events(maxJitter)); n < 30 {
			t.Errorf("only %d came up in the other half", n)
		}
	})
}

func TestMonitorQuorum(t *testing.T) {
	c := checked("isp1", "a", "b", "c")
	c.Quorum = 2
	inBubble(t, []Config{c}, nil, func(b *bench) {
		b.probe.set("c", silence)
		b.after(2*time.Second, "isp1:start>up")
		if s := b.Statuses()[0]; s.Loss != 0 {
			t.Errorf("loss %v: a dead target beyond quorum counts", s.Loss)
		}
		b.probe.set("b", silence)
		b.after(c.DownWithin(), "isp1:up>down")
		if s := b.Statuses()[0]; !strings.Contains(s.LastFailure, "b: no answer within 1s (and 1 more)") {
			t.Errorf("last failure %q", s.LastFailure)
		}
	})
}

func TestMonitorLinkActsAtOnce(t *testing.T) {
	inBubble(t, []Config{checked("isp1", "a")}, nil, func(b *bench) {
		b.probe.set("a", silence)
		b.after(500 * time.Millisecond) // a probe is under way
		b.Link(UplinkVersion{Uplink: "isp1"}, LinkState{Exists: true, Up: true, Addressed: true, Routed: true})
		b.after(0, "isp1:start>link-down")
		sent := b.probe.count("isp1")
		b.after(time.Minute)
		if b.probe.count("isp1") != sent {
			t.Error("a link without carrier is probed")
		}
		b.probe.set("a", fakeAnswer{delay: 5 * time.Millisecond})
		b.Link(UplinkVersion{Uplink: "isp1"}, linkGood)
		b.after(0, "isp1:link-down>start")
		b.after(5*time.Millisecond, "isp1:start>up") // probed at once
	})
}

func TestMonitorForgetsARoundThatTheLinkOvertook(t *testing.T) {
	c := checked("isp1", "a")
	c.DownAfter = 1
	inBubble(t, []Config{c}, nil, func(b *bench) {
		b.after(500*time.Millisecond, "isp1:start>up")
		b.probe.set("a", silence)
		time.Sleep(time.Second) // a round is under way that must not count
		b.Link(UplinkVersion{Uplink: "isp1"}, LinkState{})
		b.probe.set("a", fakeAnswer{})
		b.Link(UplinkVersion{Uplink: "isp1"}, linkGood)
		b.after(time.Second, "isp1:up>link-down", "isp1:link-down>start", "isp1:start>up")
	})
}

func TestMonitorForce(t *testing.T) {
	inBubble(t, []Config{checked("isp1", "a")}, nil, func(b *bench) {
		b.after(time.Second, "isp1:start>up")
		for _, mode := range []string{ForceDown, ForceUp, ForceAuto} {
			if err := b.Force("isp1", mode); err != nil {
				t.Error(err)
			}
		}
		b.after(0, "isp1:up>forced-down", "isp1:forced-down>forced-up", "isp1:forced-up>up")
		for _, bad := range [][2]string{{"isp9", ForceUp}, {"isp1", "sideways"}} {
			if err := b.Force(bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), bad[0]) {
				t.Errorf("Force(%q, %q): %v", bad[0], bad[1], err)
			}
		}
		b.after(0)
	})
}

func TestMonitorReload(t *testing.T) {
	isp1, isp2 := checked("isp1", "a"), checked("isp2", "b")
	inBubble(t, []Config{isp1, isp2}, nil, func(b *bench) {
		b.probe.set("b", silence)
		b.after(500*time.Millisecond, "isp1:start>up")
		b.after(time.Second, "isp2:start>down")

		b.Set([]Config{isp1, isp2}, nil) // nothing changed
		b.after(0)

		isp2.DownAfter, isp2.Targets = 9, []string{"c"} // what was down stays down until it is proven up
		b.Set([]Config{isp2, isp1}, nil)
		if s := b.Statuses(); s[0].Uplink != "isp2" || s[0].State != Down {
			t.Errorf("after another target: %+v", s[0])
		}
		b.after(2*time.Second+time.Millisecond, "isp2:down>up")

		b.Set([]Config{isp1}, nil)
		b.after(0)
		if !slices.Equal(b.probe.released, []string{"isp2"}) || len(b.Statuses()) != 1 {
			t.Errorf("released %q, statuses %+v", b.probe.released, b.Statuses())
		}
		sent := b.probe.count("isp2")
		b.after(time.Minute)
		if b.probe.count("isp2") != sent {
			t.Error("an uplink that is gone is probed")
		}
		isp1.Method = MethodNone
		b.Set([]Config{isp1}, nil)
		sent = b.probe.count("isp1")
		b.after(time.Minute)
		if b.probe.count("isp1") != sent || b.state("isp1") != Up {
			t.Errorf("without a check: %d probes more, %s", b.probe.count("isp1")-sent, b.state("isp1"))
		}
	})
}

func TestMonitorGivesANewGatewayANewStart(t *testing.T) {
	c := checked("isp1")
	c.Gateway4 = netip.MustParseAddr("192.0.2.1")
	inBubble(t, []Config{c}, nil, func(b *bench) {
		b.probe.set("192.0.2.1", silence)
		b.after(2*time.Second, "isp1:start>down")
		c.Gateway4 = netip.MustParseAddr("192.0.2.9")
		b.Set([]Config{c}, nil)
		b.after(0, "isp1:down>start", "isp1:start>up")
		c.Gateway4 = netip.MustParseAddr("192.0.2.1") // dead, but a usable uplink has its down-after rounds
		b.Set([]Config{c}, nil)
		b.after(2900 * time.Millisecond)
		b.after(100*time.Millisecond, "isp1:up>down")
	})
}

func TestMonitorGoesOnFromAFormerRun(t *testing.T) {
	since := time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC) // a bubble begins on 2000-01-01
	initial := map[UplinkVersion]Status{}
	var configs []Config
	for name, s := range map[string]State{"up": Up, "down": Down, "forced": ForcedDown, "link": LinkDown, "slow": Degraded} {
		initial[UplinkVersion{Uplink: name}] = Status{UplinkVersion: UplinkVersion{Uplink: name}, State: s,
			Since: since, Flaps: 1, LastFailure: "x: y"}
		configs = append(configs, checked(name, "target-"+name))
	}
	initial[UplinkVersion{Uplink: "gone"}] = Status{UplinkVersion: UplinkVersion{Uplink: "gone"}, State: Down}
	inBubble(t, configs, initial, func(b *bench) {
		for _, s := range b.Statuses() {
			want := initial[s.UplinkVersion]
			if s.State != want.State || !s.Since.Equal(since) || s.LastFailure != "x: y" {
				t.Errorf("%s: %+v, want %+v", s.Uplink, s, want)
			}
		}
		b.probe.set("target-slow", silence)
		b.probe.set("target-up", silence)
		b.after(2 * time.Second) // one round is not proof, neither way
		b.unordered(3*time.Second, "down:down>up", "slow:degraded>down", "up:up>down")
		b.Link(UplinkVersion{Uplink: "link"}, linkGood)
		b.after(0, "link:link-down>start", "link:start>up")
		if err := b.Force("forced", ForceAuto); err != nil {
			t.Error(err)
		}
		b.after(0, "forced:forced-down>up")
	})
}

func TestMonitorReportsWhatItCannotProbe(t *testing.T) {
	noGateway := checked("isp2")
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProber()
		p.set("a", fakeAnswer{err: fmt.Errorf("%w: no socket", ErrNotProbed)})
		m := NewMonitor(p)
		var mu sync.Mutex
		var reports []string
		m.Report = func(uv UplinkVersion, err error) {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, fmt.Sprintf("%s: %v", uv.Uplink, err))
		}
		m.Set([]Config{checked("isp1", "a"), noGateway}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(10 * time.Second)
		for _, s := range m.Statuses() {
			if s.State != Start || s.ProbeError == "" || s.Rounds != 0 {
				t.Errorf("%+v", s)
			}
		}
		p.set("a", fakeAnswer{})
		time.Sleep(10 * time.Second)
		mu.Lock()
		slices.Sort(reports)
		want := []string{"isp1: <nil>", "isp1: probing a: not probed: no socket", "isp2: not probed: no gateway is known"}
		if !slices.Equal(reports, want) {
			t.Errorf("reports %q", reports)
		}
		mu.Unlock()
		if s := m.Statuses()[0]; s.State != Up || s.ProbeError != "" {
			t.Errorf("%+v", s)
		}
		cancel()
		<-done
	})
}

func TestMonitorNeverWaitsForItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProber()
		m := NewMonitor(p)
		m.Set([]Config{checked("isp1", "a")}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		const orders = 1000
		for i := range orders { // nobody reads
			if err := m.Force("isp1", []string{ForceDown, ForceUp}[i%2]); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if n := p.count("isp1"); n < 60 {
			t.Errorf("%d probes in a minute", n)
		}
		var last State = Start
		for range orders {
			e := <-m.Events()
			if e.From != last {
				t.Fatalf("event %+v after state %s", e, last)
			}
			last = e.To
		}
		cancel()
		<-done
		if _, open := <-m.Events(); open {
			t.Error("events go on after the end")
		}
		m.Set([]Config{checked("isp2", "a")}, nil) // starts nothing any more
		m.Set(nil, nil)
		if err := m.Run(t.Context()); err == nil {
			t.Error("a monitor ran twice")
		}
	})
}

func TestMonitorHoldsALinkThatFlaps(t *testing.T) {
	c := checked("isp1")
	c.Method = MethodNone
	inBubble(t, []Config{c}, nil, func(b *bench) {
		for range 2 {
			b.Link(UplinkVersion{Uplink: "isp1"}, LinkState{})
			b.Link(UplinkVersion{Uplink: "isp1"}, linkGood)
		}
		b.after(0, "isp1:up>link-down", "isp1:link-down>up", "isp1:up>link-down", "isp1:link-down>down")
		if held := time.Until(b.Statuses()[0].HeldUntil); held != 6*time.Second {
			t.Errorf("held for %v", held)
		}
		b.after(6*time.Second-1, []string{}...)
		b.after(1, "isp1:down>up")
	})
}

func TestHoldGrowsAndIsBounded(t *testing.T) {
	c := pingConfig()
	want := []time.Duration{0, 0, 6 * time.Second, 12 * time.Second, 24 * time.Second, 48 * time.Second, 96 * time.Second,
		192 * time.Second, maxHold, maxHold}
	var got []time.Duration
	for n := range want {
		got = append(got, hold(n, c))
	}
	if !reflect.DeepEqual(got, want) || hold(math.MaxInt, c) != maxHold {
		t.Errorf("holds %v", got)
	}
}

func TestConfigDefaultsDecide(t *testing.T) {
	m := newStateMachine(epoch, Config{UplinkVersion: UplinkVersion{Uplink: "isp1"}, Method: MethodPing}, Status{})
	if e, changed := m.Round(epoch, []Answer{{Target: "a", Err: errors.New("lost")}}); !changed || e.To != Down {
		t.Errorf("a zero config decides nothing: %+v", m.Status(epoch))
	}
}

// A version that an uplink gets is under the order that there is for the uplink.
func TestMonitorForcesVersionsThatComeLater(t *testing.T) {
	of := func(v Version) Config {
		c := checked("isp1", "a")
		c.UplinkVersion.Version = v
		return c
	}
	inBubble(t, []Config{of(4)}, nil, func(b *bench) {
		if err := b.Force("isp1", ForceDown); err != nil {
			t.Fatal(err)
		}
		for _, configs := range [][]Config{{of(4), of(6)}, {of(4)}, {of(6)}} {
			b.Set(configs, nil)
			for _, s := range b.Statuses() {
				if s.State != ForcedDown {
					t.Errorf("of %d versions IPv%d is %s", len(configs), s.Version, s.State)
				}
			}
		}
		if err := b.Force("isp1", ForceAuto); err != nil {
			t.Fatal(err)
		}
		b.Set([]Config{of(4), of(6)}, nil)
		for _, s := range b.Statuses() {
			if s.State == ForcedDown {
				t.Errorf("revoked: IPv%d is %s", s.Version, s.State)
			}
		}
	})
}
