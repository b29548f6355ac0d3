package healthcheck

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"
)

// Messages of neighbour discovery are held to the library for it.
func TestNDPMessages(t *testing.T) {
	target, mac := netip.MustParseAddr("2001:db8::12:3456"), net.HardwareAddr{2, 0, 0, 0, 0, 1}
	want, err := ndp.MarshalMessage(&ndp.NeighborSolicitation{
		TargetAddress: target,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: mac}},
	})
	if diff := cmp.Diff(want, solicitation(target, mac)); err != nil || diff != "" {
		t.Errorf("a solicitation: %v %s", err, diff)
	}
	if group, err := ndp.SolicitedNodeMulticast(target); err != nil || solicitedNode(target) != group {
		t.Errorf("the group is %s, %v; got %s", group, err, solicitedNode(target))
	}

	answer, err := ndp.MarshalMessage(&ndp.NeighborAdvertisement{Router: true, Solicited: true, Override: true, TargetAddress: target,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := parseAdvertisement(answer); !ok || got != target {
		t.Errorf("an answer about %s, %v", got, ok)
	}
	news, err := ndp.MarshalMessage(&ndp.NeighborAdvertisement{Override: true, TargetAddress: target})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "cut short": answer[:ndpLength-1], "no answer": news, "a solicitation": want,
		"of another code": append([]byte{ndpAdvertisement, 1}, answer[2:]...),
	} {
		t.Run(name, func(t *testing.T) {
			if about, ok := parseAdvertisement(b); ok {
				t.Errorf("%s: taken as an answer about %s", name, about)
			}
		})
	}
}
