package healthcheck

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// sessionProber holds sessions as it is told to.
type sessionProber struct {
	*fakeProber
	mu   sync.Mutex
	tell map[string]func(Session)
	err  error
	held int
}

func (p *sessionProber) Hold(ctx context.Context, c Config, tell func(Session)) error {
	p.mu.Lock()
	err := p.err
	p.tell[c.Uplink] = tell
	p.held++
	p.mu.Unlock()
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (p *sessionProber) say(uplink string, s Session) {
	p.mu.Lock()
	tell := p.tell[uplink]
	p.mu.Unlock()
	tell(s)
}

func bfdConfig(name string) Config {
	return Config{UplinkVersion: UplinkVersion{Uplink: name, Version: 4}, Interface: "if-" + name, Method: MethodBFD, IPv4: true,
		Gateway4: netip.MustParseAddr("192.0.2.1"), Interval: 50 * time.Millisecond, Multiplier: 3}
}

func inSessions(t *testing.T, configs []Config, initial map[UplinkVersion]Status, f func(b *bench, p *sessionProber)) {
	p := &sessionProber{tell: map[string]func(Session){}}
	inBubble(t, nil, nil, func(b *bench) {
		p.fakeProber = b.probe
		b.prober = p
		b.Set(configs, initial)
		f(b, p)
	})
}

func TestSessionsJudgeALine(t *testing.T) {
	inSessions(t, []Config{bfdConfig("isp1")}, nil, func(b *bench, p *sessionProber) {
		b.after(2 * time.Second)
		p.say("isp1", Session{State: SessionUp})
		b.after(0, "isp1:start>up")
		p.say("isp1", Session{State: SessionDown, Reason: "silence"})
		b.after(0, "isp1:up>down")
		if got := b.Statuses()[0].LastFailure; got != "the BFD session with 192.0.2.1 ended: silence" {
			t.Error(got)
		}
		b.after(time.Minute) // nothing changes by itself
		p.say("isp1", Session{State: SessionUp})
		b.after(0, "isp1:down>up")
		// The peer's administrator: no failure, and it may take its time, but not for ever once it
		// is back.
		p.say("isp1", Session{State: SessionOff})
		b.after(time.Hour)
		if got := b.Statuses()[0].ProbeError; got == "" {
			t.Error("nothing says that the peer's session is off")
		}
		p.say("isp1", Session{State: SessionStarts})
		b.after(sessionPatience - time.Millisecond)
		b.after(time.Millisecond, "isp1:up>down")
		p.say("isp1", Session{State: SessionOff})
		b.after(0, "isp1:down>up")
	})
}

func TestNoSessionComesUp(t *testing.T) {
	inSessions(t, []Config{bfdConfig("isp1")}, nil, func(b *bench, p *sessionProber) {
		b.after(sessionPatience - time.Millisecond)
		b.after(time.Millisecond, "isp1:start>down")
	})
}

// A failure by BFD is certain: it counts at once, whatever the other uplinks' checks would answer.
func TestSessionsAskNoPeers(t *testing.T) {
	c := bfdConfig("isp1")
	c.Peers = []string{"isp2"}
	other := checked("isp2", "a")
	other.Version, other.Peers = 4, []string{"isp1"}
	inSessions(t, []Config{c, other}, nil, func(b *bench, p *sessionProber) {
		b.probe.set("a", fakeAnswer{})
		b.events(time.Second)
		p.say("isp1", Session{State: SessionUp})
		b.events(time.Second)
		b.probe.set("a", silence)
		p.say("isp1", Session{State: SessionDown})
		b.after(0, "isp1:up>down")
		// A session that is up is an answer to those whose checks fail.
		p.say("isp1", Session{State: SessionUp})
		b.after(10*time.Second, "isp1:down>up", "isp2:up>down")
	})
}

// A session that flaps makes the line wait, as any check.
func TestSessionsThatFlapWait(t *testing.T) {
	inSessions(t, []Config{bfdConfig("isp1")}, nil, func(b *bench, p *sessionProber) {
		b.after(time.Second)
		p.say("isp1", Session{State: SessionUp})
		b.after(time.Second, "isp1:start>up")
		for b.Statuses()[0].HeldUntil.IsZero() {
			p.say("isp1", Session{State: SessionDown})
			p.say("isp1", Session{State: SessionUp})
			if b.events(time.Second); b.Statuses()[0].Flaps > 20 {
				t.Fatal("it never waits")
			}
		}
		b.after(time.Until(b.Statuses()[0].HeldUntil)+time.Millisecond, "isp1:down>up")
	})
}

// No socket: nothing is known, it is told once, and tried again.
func TestNoSocketForSessions(t *testing.T) {
	inSessions(t, []Config{bfdConfig("isp1")}, nil, func(b *bench, p *sessionProber) {
		b.events(0)
		p.mu.Lock()
		p.err = fmt.Errorf("%w: port 3784 is taken", ErrNotProbed)
		p.mu.Unlock()
		var told []string
		b.mu.Lock()
		b.Report = func(_ UplinkVersion, err error) { told = append(told, errorText(err)) }
		b.mu.Unlock()
		c := bfdConfig("isp1")
		c.Interval = time.Second // another session
		b.Set([]Config{c}, nil)
		b.after(time.Minute)
		if s := b.Statuses()[0]; s.State != Start || s.ProbeError != "not probed: port 3784 is taken" || len(told) != 1 {
			t.Errorf("%+v, told %q", s, told)
		}
		p.mu.Lock()
		p.err = nil
		p.mu.Unlock()
		b.after(2 * time.Second)
		p.say("isp1", Session{State: SessionUp})
		b.after(time.Second, "isp1:start>up")
		if len(told) != 2 || told[1] != "" {
			t.Errorf("told %q", told)
		}
	})
}

// A link that is lost ends the session, and its return begins another one; a change of times, too.
func TestSessionsFollowTheLink(t *testing.T) {
	inSessions(t, []Config{bfdConfig("isp1")}, nil, func(b *bench, p *sessionProber) {
		line := UplinkVersion{Uplink: "isp1", Version: 4}
		b.Link(line, linkGood)
		b.events(time.Second)
		p.say("isp1", Session{State: SessionUp})
		b.after(time.Second, "isp1:start>up")
		old := p.tell["isp1"]
		b.Link(line, LinkState{Exists: true})
		b.after(time.Minute, "isp1:up>link-down")
		b.Link(line, linkGood)
		b.after(time.Second, "isp1:link-down>start")
		old(Session{State: SessionDown}) // is over
		b.after(time.Second)
		p.say("isp1", Session{State: SessionUp})
		b.after(time.Second, "isp1:start>up")
		if p.held != 2 {
			t.Errorf("%d sessions were begun", p.held)
		}
	})
}
