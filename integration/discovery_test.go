package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
)

// discoveryPolicy sends all IPv6 of one host, and the router's own, through the second uplink:
// strictly, so that what belongs to no connection, as discovery does, is classified packet by
// packet; and all of another host's by a balance.
const discoveryPolicy = `
[[table]]
name = "secret"
strict = true
routes = { uplink = "isp2" }
[[balance]]
name = "shared"
members = [{ table = "secret" }]
[[policy]]
name = "kill"
src = "2001:db8:10::12"
table = "secret"
[[policy]]
name = "own"
from = "local"
src = "2001:db8:f1::2"
table = "secret"
[[policy]]
name = "share"
src = "2001:db8:10::10"
balance = "shared"
`

// ICMPv6 types around those of router and neighbour discovery (RFC 4861): 128 is an echo request,
// 132 and 143 are of multicast listener discovery, which the kernel keeps out of conntrack, too;
// 138 is router renumbering.
var discoveryTypes = []uint8{128, 132, 133, 134, 135, 136, 137, 138, 143}

// isDiscovery reports whether a message is one that is never marked.
func isDiscovery(typ uint8) bool { return typ >= 133 && typ <= 137 }

// Router and neighbour discovery is never marked or balanced, forwarded or the router's own; its
// neighbours among the types are.
func TestDiscoveryIsNeverSteered(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 12)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}, Silent: true,
	})
	r, wires := newRouter(n.Router), n.Wires()
	r.apply(twoUplinks + discoveryPolicy)
	id := uint64(0)
	leaves := func(what string, typ uint8, send func(id uint64) error) {
		t.Helper()
		id++
		lab.Pinned(t, func() error {
			if err := send(id); err != nil {
				return err
			}
			return wires["lan"].AwaitDelivery()
		})
		want := []string{"isp2"}
		if isDiscovery(typ) {
			want = []string{"isp1"}
		}
		if by := leftBy(t, wires, id); !slices.Equal(by, want) {
			t.Errorf("%s type %d left by %v, not %v", what, typ, by, want)
		}
	}
	far := netip.MustParseAddr("2001:db8:ffff::9")
	for _, typ := range discoveryTypes {
		for what, src := range map[string]string{"strict host's": "2001:db8:10::12", "balanced host's": "2001:db8:10::10"} {
			leaves(what, typ, func(id uint64) error {
				return wires["lan"].Send(lab.Packet{ID: id, Src: netip.MustParseAddr(src), Dst: far,
					Proto: lab.ProtoICMPv6, ICMPType: typ, SPort: uint16(id)})
			})
		}
		leaves("the router's own", typ,
			func(id uint64) error { return sendICMPv6(r.Host, netip.MustParseAddr("2001:db8:f1::2"), far, typ, id) })
	}
}

// leftBy lists the providers that got a packet.
func leftBy(t *testing.T, wires map[string]*lab.Wire, id uint64) (by []string) {
	t.Helper()
	for _, isp := range []string{"isp1", "isp2"} {
		got, err := wires[isp].Drain()
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(got, func(p lab.Packet) bool { return p.ID == id }) {
			by = append(by, isp)
		}
	}
	return by
}

// sendICMPv6 sends an ICMPv6 packet of the host's own.
func sendICMPv6(h *lab.Host, src, dst netip.Addr, typ uint8, id uint64) error {
	var fd int
	var err error
	h.Do(func() { fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6) })
	if err != nil {
		return fmt.Errorf("opening a raw socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: src.As16()}); err != nil {
		return err
	}
	body := append([]byte{typ, 0, 0, 0, byte(id >> 8), byte(id), 0, 0}, lab.Payload(id)...)
	return unix.Sendto(fd, body, 0, &unix.SockaddrInet6{Addr: dst.As16()})
}
