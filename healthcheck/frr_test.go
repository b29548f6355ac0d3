package healthcheck

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// frrPeers are isp2's two ends as bfdd is to know them.
const frrPeers = `bfd
 peer 198.51.100.2 local-address 198.51.100.1 interface up0
  receive-interval 50
  transmit-interval 50
  detect-multiplier 3
 peer 2001:db8:f2::2 local-address 2001:db8:f2::1 interface up0
  receive-interval 50
  transmit-interval 50
  detect-multiplier 3
`

func frrLine(version Version, interval time.Duration) Config {
	return Config{UplinkVersion: UplinkVersion{Uplink: "isp2", Version: version}, Interface: "wan2", Mark: mark2, Method: MethodBFD,
		IPv4: version == 4, IPv6: version == 6,
		Gateway4: netip.MustParseAddr("198.51.100.1"), Gateway6: netip.MustParseAddr("2001:db8:f2::1"), Interval: interval, Multiplier: 3}
}

// monitored runs a monitor of both versions of the second line.
func (l *lines) monitored(t *testing.T, interval time.Duration) (*Monitor, <-chan Event) {
	m := NewMonitor(l.prober)
	m.Set([]Config{frrLine(4, interval), frrLine(6, interval)}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	events := make(chan Event, 100)
	go func() {
		for e := range m.Events() {
			events <- e
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return m, events
}

// bothBecome waits until both versions are in a state, and returns when each of them came into it.
func bothBecome(t *testing.T, events <-chan Event, want State) map[Version]time.Time {
	t.Helper()
	at := map[Version]time.Time{}
	limit := time.After(lab.Patience(20 * time.Second))
	for len(at) < 2 {
		select {
		case e := <-events:
			if at[e.Version] = e.At; e.To != want {
				t.Fatalf("IPv%d: %s > %s (%s), want %s", e.Version, e.From, e.To, e.Reason, want)
			}
		case <-limit:
			t.Fatalf("not %s: %v", want, at)
		}
	}
	return at
}

func (l *lines) mute(yes bool) {
	l.far.NFT("table inet mute\ndelete table inet mute\n")
	if yes {
		l.far.NFT("table inet mute {\n\tchain out {\n\t\ttype filter hook output priority 0\n\t\tudp dport 3784 drop\n\t}\n}\n")
	}
}

func TestBFDWithFRR(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	l.router.NFT(countScript)
	f := l.far.StartFRR(frrPeers)
	_, events := l.monitored(t, 50*time.Millisecond)
	bothBecome(t, events, Up)
	if n := counted(l.router); n["marked"] == 0 || n["unmarked"] != 0 || n["other line"] != 0 {
		t.Errorf("packets: %v", n)
	}
	time.Sleep(2 * time.Second) // until the quick intervals are agreed on; else detection takes 3 s
	if out := f.VTYSH("show bfd peers"); strings.Count(out, "Status: up") != 2 {
		t.Errorf("FRR says\n%s", out)
	}
	// A busy machine may hold a packet, or us, up: the best of some tries shows what the protocol
	// needs.
	best := map[Version]time.Duration{4: time.Hour, 6: time.Hour}
	for try := 0; try < 5 && max(best[4], best[6]) > 150*time.Millisecond; try++ {
		began := time.Now()
		l.mute(true)
		for v, at := range bothBecome(t, events, Down) {
			best[v] = min(best[v], at.Sub(began))
		}
		l.mute(false)
		bothBecome(t, events, Up)
		time.Sleep(2 * time.Second)
	}
	t.Logf("detection: IPv4 %v, IPv6 %v", best[4], best[6])
	if limit := lab.Patience(200 * time.Millisecond); best[4] > limit || best[6] > limit { // with the time that nft itself takes
		t.Errorf("silence was noticed after %v (IPv4) and %v (IPv6)", best[4], best[6])
	}
}

// AdminDown is not a failure, from FRR's administrator or because its bfdd ends; its death is one.
func TestBFDPeerIsSwitchedOff(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	f := l.far.StartFRR(frrPeers)
	m, events := l.monitored(t, 50*time.Millisecond)
	bothBecome(t, events, Up)
	peers := []string{"peer 198.51.100.2 local-address 198.51.100.1 interface up0",
		"peer 2001:db8:f2::2 local-address 2001:db8:f2::1 interface up0"}
	f.VTYSH("conf t", "bfd", peers[0], "shutdown", "exit", peers[1], "shutdown")
	lab.WaitFor(t, "word of AdminDown", func() bool {
		s := m.Statuses()
		return strings.Contains(s[0].ProbeError, "AdminDown") && strings.Contains(s[1].ProbeError, "AdminDown")
	})
	time.Sleep(time.Second)
	f.VTYSH("conf t", "bfd", peers[0], "no shutdown", "exit", peers[1], "no shutdown")
	lab.WaitFor(t, "sessions again", func() bool {
		s := m.Statuses()
		return s[0].ProbeError == "" && s[1].ProbeError == "" && strings.Count(f.VTYSH("show bfd peers"), "Status: up") == 2
	})
	select {
	case e := <-events:
		t.Errorf("AdminDown is a failure: %+v", e)
	default:
	}
	_ = f.BFD.Kill()
	bothBecome(t, events, Down)
}

// Who ends a watch is not a failure for the peer.
func TestBFDEndsPolitely(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	f := l.far.StartFRR(frrPeers)
	m := NewMonitor(l.prober)
	m.Set([]Config{frrLine(4, 50*time.Millisecond), frrLine(6, 50*time.Millisecond)}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	lab.WaitFor(t, "sessions", func() bool { return strings.Count(f.VTYSH("show bfd peers"), "Status: up") == 2 })
	cancel()
	<-done
	lab.WaitFor(t, "word of the end", func() bool {
		return strings.Count(f.VTYSH("show bfd peers"), "Remote diagnostics: administratively down") == 2
	})
}

// A program that has the port is named as the reason; when it is gone the session comes.
func TestBFDPortIsTaken(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	own := l.router.StartFRR("")
	lab.WaitFor(t, "bfdd on the router", func() bool { return strings.Contains(l.router.Run("ss", "-lun"), "[::]:3784") })
	l.far.StartFRR(frrPeers)
	m, events := l.monitored(t, 50*time.Millisecond)
	lab.WaitFor(t, "the reason", func() bool {
		s := m.Statuses()
		return strings.Contains(s[0].ProbeError, "port 3784 of wan2 is taken") &&
			strings.Contains(s[1].ProbeError, "port 3784 of wan2 is taken")
	})
	for _, s := range m.Statuses() {
		if s.State != Start {
			t.Errorf("IPv%d is %s", s.Version, s.State)
		}
	}
	_ = own.BFD.Kill()
	bothBecome(t, events, Up)
}

// Packets that were routed, or are not the gateway's, count for nothing.
func TestBFDRefusesPacketsOfOthers(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	l.far.StartFRR(frrPeers)
	l.far.NFT(fmt.Sprintf("table inet ttl {\n\tchain out {\n\t\ttype filter hook output priority 0\n\t\tudp "+
		"dport %d ip ttl set 254\n\t\tudp dport %d ip6 hoplimit set 254\n\t}\n}\n", bfdPort, bfdPort))
	_, events := l.monitored(t, 50*time.Millisecond)
	bothBecome(t, events, Down)
	l.far.NFT("delete table inet ttl\n")
	bothBecome(t, events, Up)
}
