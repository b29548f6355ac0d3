package integration

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// TestOlderConnectionsFromOutside: connections that nothing translates say by no address which
// uplink they came in by. Their packets do: with the next one from outside they are pinned to the
// uplink that it arrives on, and answers leave through it. Those of the primary uplink stay
// unmarked.
func TestOlderConnectionsFromOutside(t *testing.T) {
	t.Parallel()
	olderConnectionsFromOutside(t, olderPolicy)
}

// TestVMOlderConnectionsFromOutside: the same, where unmarked connections are offloaded.
func TestVMOlderConnectionsFromOutside(t *testing.T) {
	t.Parallel()
	lab.NeedKernel(t, "nf_flow_table")
	olderConnectionsFromOutside(t, strings.Replace(olderPolicy, `offload = "off"`, `offload = "unmarked"`, 1))
}

// olderConnectionsFromOutside is the test, with a policy of which the translation is left out.
func olderConnectionsFromOutside(t *testing.T, policy string) {
	t.Helper()
	w := newWatched(t, strings.ReplaceAll(policy, `nat = "masquerade"`, `nat = "none"`), 2)
	w.Router.NFT(stateful)
	w.Router.IP("route add default via 192.0.2.1 dev wan1")
	w.Router.IP6("route add default via 2001:db8:f1::1 dev wan1")
	// An answer that comes to the wrong provider is lost, and nobody refuses it.
	w.ISPs["isp1"].NFT("table inet astray { chain in { type filter hook input priority 0; tcp sport 7 ct state new drop; }; }")
	w.lan.ServeEcho(7)
	calls := map[string]*lab.Conn{}
	step := steps.Of(t)
	step.Run("they begin while the table is there", func(t *testing.T) {
		w.router.must("apply")
		for _, isp := range []string{"isp1", "isp2"} {
			for _, network := range []string{"udp", "tcp"} {
				for src, dst := range map[string]string{"198.18.7.7": "192.168.10.10:7", "2001:db8:ffff::77": "[2001:db8:10::10]:7"} {
					c, err := w.ISPs[isp].Dial(network, netip.MustParseAddr(src), netip.MustParseAddrPort(dst), lab.DialOptions{})
					if err != nil {
						t.Fatal(err)
					}
					calls[isp+", "+network+" to "+dst] = c
				}
			}
		}
		answered(t, calls)
		if unmarked, pinned := w.marked(7); unmarked != 4 || pinned != 4 {
			t.Errorf("%d connections are unmarked, %d pinned", unmarked, pinned)
		}
	})
	step.Run("the table is gone and made again: the next packet pins those of the second uplink alone", func(t *testing.T) {
		// On a busy machine no packet may come within the time that apply waits.
		for range 5 {
			w.router.must("flush")
			applied := make(chan lab.Result)
			go func() { applied <- w.router.pbr("apply") }()
			lab.WaitFor(t, "apply to wait for packets", func() bool {
				return strings.Contains(w.Router.Run("nft", "list", "ruleset"), "chain arrivals ")
			})
			for _, c := range calls {
				_ = c.Send()
			}
			r := <-applied
			if unmarked, pinned := w.marked(7); unmarked == 4 && pinned == 4 {
				if want := "4 older than the table pinned to their uplink"; !strings.Contains(r.Stdout+r.Stderr, want) {
					t.Errorf("apply does not say %q: %+v", want, r)
				}
				return
			}
		}
		unmarked, pinned := w.marked(7)
		t.Errorf("%d connections are unmarked, %d pinned", unmarked, pinned)
	})
	step.Run("answers use these uplinks", func(t *testing.T) {
		w.router.inSync()
		answered(t, calls) // -- to what was sent before
		answered(t, calls)
	})
}

// answered fails the test if a host inside does not answer on each of the connections.
func answered(t *testing.T, calls map[string]*lab.Conn) {
	t.Helper()
	for name, c := range calls {
		if seen, err := c.Ask(); err != nil || seen.By != "lan" {
			t.Errorf("%s: answered by %+v, %v", name, seen, err)
		}
	}
}

// marked counts the connections to a port that the router tracks, without and with a mark.
func (w *watched) marked(port int) (unmarked, pinned int) {
	w.t.Helper()
	for _, family := range []string{"ipv4", "ipv6"} {
		for line := range strings.Lines(w.Router.Run("conntrack", "-L", "-f", family)) {
			switch {
			case !strings.Contains(line, fmt.Sprintf("dport=%d ", port)):
			case strings.Contains(line, "mark=0 "):
				unmarked++
			default:
				pinned++
			}
		}
	}
	return unmarked, pinned
}

// TestFarEndThatGoesOn: the far end of a flushed connection sends on by the uplink that it knows,
// more often than the router does itself. Its packets begin no connection that the router's own
// would then follow, past a strict table.
func TestFarEndThatGoesOn(t *testing.T) {
	t.Parallel()
	w := olderNet(t)
	w.ISPs["isp1"].NFT("table inet apart { chain out { type filter hook output priority raw; udp sport 4000 notrack; }; }")
	far := netip.MustParseAddrPort("198.18.3.3:4000")
	c, err := w.Router.Dial("udp", netip.Addr{}, far, lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f := &flood{w: w, conns: []*lab.Conn{c}, stop: make(chan struct{})}
	f.wait.Add(1)
	go f.send(c, 300*time.Millisecond)
	defer f.end()
	w.stream(w.ISPs["isp1"], far, c.LocalAddr())
	f.tracked()
	w.router.must("apply")
	f.allAnswered("applied")
}

// stream sends packets from an address that is not the host's own, until the test ends.
func (w *watched) stream(h *lab.Host, from netip.AddrPort, to netip.AddrPort) {
	w.t.Helper()
	foreign := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		})
		return errors.Join(err, cerr)
	}}
	var socket net.PacketConn
	var err error
	h.Do(func() { socket, err = foreign.ListenPacket(w.t.Context(), "udp4", from.String()) })
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range time.Tick(10 * time.Millisecond) {
			if _, err := socket.WriteTo([]byte("on"), net.UDPAddrFromAddrPort(to)); errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}()
	w.t.Cleanup(func() { socket.Close(); <-ended })
}
