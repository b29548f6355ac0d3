package healthcheck

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestARPMessages(t *testing.T) {
	want := arpMessage{
		operation: arpRequest,
		senderMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, sender: netip.MustParseAddr("192.0.2.2"),
		targetMAC: make(net.HardwareAddr, 6), target: netip.MustParseAddr("192.0.2.1"),
	}
	b := want.marshal()
	// As tcpdump -x shows the kernel's own request, behind Ethernet's header.
	if diff := cmp.Diff([]byte{
		0, 1, 8, 0, 6, 4, 0, 1,
		2, 0, 0, 0, 0, 1, 192, 0, 2, 2,
		0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
	}, b); diff != "" {
		t.Fatal(diff)
	}
	padded := append(b[:arpLength:arpLength], make([]byte, 18)...)
	for _, b := range [][]byte{b, padded} {
		got, ok := parseARP(b)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(arpMessage{}),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); !ok || diff != "" {
			t.Errorf("%d bytes: %v %s", len(b), ok, diff)
		}
	}
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"cut short":           b[:arpLength-1],
		"of another protocol": append([]byte{0, 1, 0x86, 0xdd}, b[4:]...),
		"of another hardware": append([]byte{0, 6}, b[2:]...),
		"of other lengths":    append([]byte{0, 1, 8, 0, 8, 4}, b[6:]...),
	} {
		t.Run(name, func(t *testing.T) {
			if m, ok := parseARP(b); ok {
				t.Errorf("a message %s: %v", name, m)
			}
		})
	}
}
