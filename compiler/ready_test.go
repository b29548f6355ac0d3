package compiler

import (
	"net/netip"
	"slices"
	"testing"

	"pbr/compiler/plan"
)

// What is not there and was asked for by name is deferred. A point-to-point device carries IPv6
// without being asked, so that a tunnel with IPv4 alone is no reason for apply --wait to wait.
func TestMissingVersionIsDeferredIfItWasNamed(t *testing.T) {
	ipv4 := []netip.Addr{netip.MustParseAddr("10.7.0.2")}
	for _, c := range []struct {
		name, keys string
		host       plan.HostFacts
		link       plan.Link
		want       []string
	}{
		{"no gateway, no IPv6 address", `nat = "masquerade"`, plan.HostFacts{}, plan.Link{Up: true, Addrs: ipv4}, nil},
		{"no gateway, no IPv6 on the interface", "", plan.HostFacts{}, plan.Link{Up: true, Addrs: ipv4, NoIPv6: true}, nil},
		{"no gateway, no IPv6 in the kernel", "", plan.HostFacts{NoIPv6: true}, plan.Link{Up: true, Addrs: ipv4}, nil},
		{"no gateway, the interface is down", "", plan.HostFacts{}, plan.Link{Addrs: ipv4}, []string{"interface wg0 is down"}},
		{"IPv6 by name, no IPv6 address", "gateway = \"link\"\ngateway6 = \"link\"\nnat = \"masquerade\"", plan.HostFacts{},
			plan.Link{Up: true, Addrs: ipv4}, []string{"interface wg0 has no IPv6 address"}},
		{"IPv6 by name, none on the interface", "gateway = \"link\"\ngateway6 = \"link\"", plan.HostFacts{},
			plan.Link{Up: true, Addrs: ipv4, NoIPv6: true}, []string{"IPv6 is disabled on interface wg0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.host.Known, c.host.Links = true, map[string]plan.Link{"wg0": c.link}
			p, ds := Compile(parse(t, `
[pbr]
offload = "off"
[[uplink]]
name = "vpn"
interface = "wg0"
`+c.keys+`
[default]
routes = [{ uplink = "vpn" }]
`), c.host, nil)
			if p == nil {
				t.Fatal(ds)
			}
			var got []string
			for _, d := range p.Deferred {
				got = append(got, d.Reason)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("deferred: %q, want %q", got, c.want)
			}
		})
	}
}

// A gateway that the kernel refuses defers its uplink for one IP version, and nothing else: routes
// and members over others stay, and what is strict is unreachable.
func TestRefusedGatewayIsDeferred(t *testing.T) {
	doc := parse(t, `
[pbr]
offload = "off"
[[uplink]]
name = "isp1"
interface = "w1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:1::1"
nat = "none"
[[uplink]]
name = "isp2"
interface = "w2"
gateway = "198.51.100.1"
gateway6 = "2001:db8:2::1"
nat = "none"
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[policy]]
name = "phones"
src = ["10.0.0.1", "2001:db8:a::1"]
uplink = "isp2"
strict = true
`)
	host := withLinks("w1", "w2", "lan")
	host.Refused = []plan.Refusal{{NextHop: plan.NextHop{Dev: "w2", Via: netip.MustParseAddr("2001:db8:2::1")},
		Dst: netip.MustParsePrefix("2001:db8:2::/64"), Through: "lan"}}
	p, ds := Compile(doc, host, nil)
	if p == nil {
		t.Fatal(ds)
	}
	if len(p.Deferred) != 1 || p.Deferred[0] != (plan.Deferred{Object: "uplink isp2", Reason: host.Refused[0].Reason()}) {
		t.Errorf("deferred: %+v", p.Deferred)
	}
	strict := uint32(0)
	for _, n := range p.Numbers {
		if n.Uplink == "isp2" && n.Strict {
			strict = n.Table
		}
	}
	over := map[string]int{}
	refuses := false
	for _, r := range p.Routes {
		for _, h := range r.Hops {
			over[h.Dev+" "+h.Via.String()]++
		}
		refuses = refuses || r.Table == strict && r.Family == plan.IPv6 && r.Kind == plan.Unreachable
	}
	if over["w2 2001:db8:2::1"] != 0 || over["w2 198.51.100.1"] == 0 || over["w1 2001:db8:1::1"] == 0 || over["w1 192.0.2.1"] == 0 {
		t.Errorf("routes over %v", over)
	}
	if strict == 0 || !refuses {
		t.Errorf("the strict policy's table %d is not unreachable for IPv6", strict)
	}
}
