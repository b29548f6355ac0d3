package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sourcePolicy leaves the judgement of source addresses to whom mode says.
func sourcePolicy(mode string) string {
	return `[pbr]
sysctl = true
offload = "off"
reverse-path = "` + mode + `"
[[uplink]]
name = "isp1"
interface = "w1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "w2"
gateway = "198.51.100.1"
nat = "masquerade"
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
`
}

// sourceProbe sends packets to the router over w1, and receives what it takes.
type sourceProbe struct {
	wire, taker int
	to          unix.SockaddrLinklayer
	mac         []byte
	port        uint16
}

func newSourceProbe(t *testing.T) *sourceProbe {
	t.Helper()
	p := &sourceProbe{port: 20000}
	var err error
	p.taker, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(p.taker) })
	must(t, unix.SetsockoptTimeval(p.taker, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	must(t, unix.Bind(p.taker, &unix.SockaddrInet4{Port: 9999, Addr: [4]byte{192, 0, 2, 2}}))
	p.wire, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(p.wire) })
	far, err := net.InterfaceByName("x1")
	must(t, err)
	near, err := net.InterfaceByName("w1")
	must(t, err)
	p.to, p.mac = unix.SockaddrLinklayer{Ifindex: far.Index, Halen: 6}, append(append([]byte{}, near.HardwareAddr...), far.HardwareAddr...)
	return p
}

// send sends one UDP packet of a connection of its own.
func (p *sourceProbe) send(t *testing.T, src string) {
	t.Helper()
	p.port++
	h := make([]byte, 28)
	h[0], h[8], h[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
	copy(h[12:], netip.MustParseAddr(src).AsSlice())
	copy(h[16:], []byte{192, 0, 2, 2})
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	binary.BigEndian.PutUint16(h[20:], p.port)
	binary.BigEndian.PutUint16(h[22:], 9999)
	binary.BigEndian.PutUint16(h[24:], 8)
	must(t, unix.Sendto(p.wire, append(append(append([]byte{}, p.mac...), 8, 0), h...), 0, &p.to))
}

// takes sends a packet with one of the router's own addresses as source, and then an honest one,
// which comes; it reports whether the first one came, too.
func (p *sourceProbe) takes(t *testing.T) (spoofed bool) {
	t.Helper()
	p.send(t, "198.51.100.2")
	p.send(t, "192.0.2.77")
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		var b [64]byte
		_, from, err := unix.Recvfrom(p.taker, b[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		must(t, err)
		if from.(*unix.SockaddrInet4).Addr == [4]byte{192, 0, 2, 77} {
			return spoofed
		}
		spoofed = true
	}
	t.Fatal("the honest packet does not come")
	return spoofed
}

// TestSourcesAreJudgedAllTheTime sends packets with a spoofed source between all steps of applies
// that hand the judgement from the kernel to the ruleset and back, and of a flush: none is taken.
func TestSourcesAreJudgedAllTheTime(t *testing.T) {
	k := newKernel(t)
	p := newSourceProbe(t)
	apply(t, k, compileFor(t, k, sourcePolicy("kernel")))
	steps := 0
	watched := func(what string, do func() error) {
		t.Helper()
		k.step = func(step string) {
			steps++
			if p.takes(t) {
				t.Errorf("%s: before %q a packet with one of our own addresses is taken", what, step)
			}
		}
		err := do()
		k.step = func(string) {}
		must(t, err)
		if p.takes(t) {
			t.Errorf("%s: afterwards a packet with one of our own addresses is taken", what)
		}
	}
	for _, mode := range []string{"nft", "kernel", "nft-strict", "kernel", "nft"} {
		want := compileFor(t, k, sourcePolicy(mode))
		watched("to "+mode, func() error { _, err := k.Apply(context.Background(), want); return err })
	}
	if got := strings.Fields(
		run(t, "sysctl -n net.ipv4.conf.all.accept_local net.ipv4.conf.w1.rp_filter")); got[0] != "1" || got[1] != "0" {
		t.Errorf("the settings are not loosened: %v", got)
	}
	watched("flush", func() error { _, err := k.Flush(context.Background()); return err })
	if steps < 20 {
		t.Errorf("only %d steps", steps)
	}
}
