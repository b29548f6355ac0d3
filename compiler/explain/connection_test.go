package explain_test

import (
	"net/netip"
	"testing"

	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// A policy by MAC is that of a running connection whose sender the neighbour table knows.
func TestMACOfConnection(t *testing.T) {
	doc, p, _ := compiledPolicy(t, twoUplinks+
		"[[policy]]\nname = \"private\"\nmac = \"02:00:00:00:00:05\"\nuplink = \"isp2\"\nstrict = true\n")
	facts := walk.Facts{Known: true, Links: map[string]walk.Link{
		"lan":  {Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.10.1/24")}},
		"wan1": {Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}},
		"wan2": {Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24")}},
	}, Rules: []plan.Rule{{Family: plan.IPv4, Action: plan.ActLookup, Table: 255},
		{Family: plan.IPv4, Priority: 32766, Action: plan.ActLookup, Table: plan.MainTable}},
		Routes: []plan.Route{{Family: plan.IPv4, Table: plan.MainTable, Dst: netip.MustParsePrefix("192.168.10.0/24"),
			Kind: plan.Unicast, Hops: []plan.Hop{{Dev: "lan", Weight: 1}}}}}
	x, err := explain.New(doc, p, p, explain.Live{Facts: facts, MACs: map[netip.Addr][6]byte{
		netip.MustParseAddr("192.168.10.5"): {2, 0, 0, 0, 0, 5}, netip.MustParseAddr("192.168.10.6"): {2, 0, 0, 0, 0, 6}}})
	if err != nil {
		t.Fatal(err)
	}
	other := [6]byte{2, 0, 0, 0, 0, 7}
	for _, c := range []struct {
		name, src string
		mac       *[6]byte
		want      explain.Kind
	}{
		{"the policy's", "192.168.10.5", nil, explain.ByPolicy},
		{"another neighbour", "192.168.10.6", nil, explain.ByDefault},
		{"no neighbour", "192.168.10.7", nil, explain.ByDefault},
		{"what is known of the connection comes first", "192.168.10.5", &other, explain.ByDefault},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := x.Carried(&explain.Connection{Src: netip.MustParseAddr(c.src), Dst: netip.MustParseAddr("9.9.9.9"),
				ReplySrc: netip.MustParseAddr("9.9.9.9"), ReplyDst: netip.MustParseAddr("198.51.100.2"), Proto: 6, SPort: 40000,
				DPort: 443, HasPorts: true, MAC: c.mac, Mark: plan.PinnedMark(p.Numbers, "isp2")})
			if w.In != "lan" || w.Uplink != "isp2" || w.By.Kind != c.want || w.Differs != (c.want == explain.ByDefault) {
				t.Errorf("%+v, want %s", w, c.want)
			}
		})
	}
}
