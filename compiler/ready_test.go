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
