package lab

import (
	"net/netip"
	"testing"
)

func TestFrameRoundTrip(t *testing.T) {
	v4, v4b := netip.MustParseAddr("192.168.10.10"), netip.MustParseAddr("8.8.8.8")
	v6, v6b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	mac := [6]byte{2, 1, 2, 3, 4, 5}
	for _, p := range []Packet{
		{ID: 1, Src: v4, Dst: v4b, Proto: ProtoUDP, SPort: 1000, DPort: 53, DSCP: 46, SrcMAC: mac},
		{ID: 2, Src: v6, Dst: v6b, Proto: ProtoTCP, SPort: 1000, DPort: 443, TCPFlags: TCPSyn, DSCP: 10},
		{ID: 3, Src: v4, Dst: v4b, Proto: ProtoICMP, ICMPType: 8, SPort: 77},
		{ID: 4, Src: v6, Dst: v6b, Proto: ProtoICMPv6, ICMPType: 128, SPort: 78},
		{ID: 5, Src: v6, Dst: v6b, Proto: 50},
	} {
		got, ok := parsePacket(p.Frame())
		if !ok || got != p {
			t.Errorf("sent %+v, read %+v, %v", p, got, ok)
		}
	}
}

// Thousands of packets through a router: each comes out once, and AwaitDelivery waits for the last
// one.
func TestAwaitDeliverySeesEverything(t *testing.T) {
	t.Parallel()
	n := Build(New(t), Spec{
		LANs: []LANSpec{LAN("lan", "br-lan", 10, 10)}, ISPs: []ISPSpec{ISP(1), ISP(2)}, Silent: true,
	})
	n.Router.IP("route add default via 192.0.2.1", "route add 9.0.0.0/8 via 198.51.100.1")
	// The checksum of every packet is checked by connection tracking, which calls bad ones invalid.
	n.Router.NFT("table inet check { chain passing { type filter hook forward priority 0; ct state invalid drop; }\n}")
	wires := n.Wires()
	src := n.Spec.LANs[0].Hosts[0]
	const count = 4000
	Pinned(t, func() error {
		for id := range uint64(count) {
			p := Packet{ID: id, Src: src, Proto: ProtoUDP, SPort: uint16(id), DPort: 53}
			p.Dst = netip.AddrFrom4([4]byte{byte(8 + id%2), 1, byte(id >> 8), byte(id)})
			if id%3 == 0 {
				p.Proto, p.TCPFlags = ProtoTCP, TCPSyn
			}
			if err := wires["lan"].Send(p); err != nil {
				return err
			}
		}
		return wires["lan"].AwaitDelivery()
	})
	for i, isp := range []string{"isp1", "isp2"} {
		got, err := wires[isp].Drain()
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != count/2 {
			t.Errorf("%s saw %d packets, not %d", isp, len(got), count/2)
		}
		for k, p := range got {
			if p.ID != uint64(2*k+i) || p.Src != src {
				t.Fatalf("%s saw %s as packet %d", isp, p, k)
			}
		}
	}
}
