package route

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

// TestRefusals holds what the host facts say of gateways to what the kernel does with a route over
// each of them.
func TestRefusals(t *testing.T) {
	c := newNetns(t)
	here := steps.InNamespace(t)
	for _, args := range []string{
		"address add 203.0.113.9/30 broadcast 203.0.113.77 dev w1", "address add 10.3.0.1/31 dev w1", "address add 10.4.0.1/32 dev w1",
		"-6 address add 2001:db8:5::2/64 dev w2 nodad", "-6 address add 2001:db8:6::2/64 dev w1 nodad",
		"-6 address add 2001:db8:6::3/64 dev w2 nodad",
		"-6 route add default via 2001:db8:2::1 dev w2",
		"-6 route add 2000::/3 dev w2", "-6 route add 8000::/1 dev w2", "-6 route add 4000::/2 dev w1", "-6 route add ::/1 dev w2",
		"-6 route add 2001:db8:7::/48 dev w2", "-6 route add 2001:db8:7:1::/64 dev w1", "-6 route add unreachable 2001:db8:8::/48",
		"-6 route add 2001:db8:9::/48 dev w2 metric 5", "-6 route add 2001:db8:9::/48 dev w1 metric 9",
		"-6 route add 2001:db8:a::/48 nexthop via fe80::8 dev w2 nexthop via fe80::9 dev w1", "-6 route add 2001:db8:b::/48 from 2001:db8:1::/64 dev w2",
		"-6 route add 2001:db8:c::/48 via fe80::2 dev w2",
	} {
		ip(t, args)
	}
	var hops []plan.NextHop
	for _, line := range []string{
		"w1 192.0.2.1 192.0.2.255 192.0.2.0 203.0.113.10 203.0.113.11 203.0.113.77 10.3.0.0 198.51.100.255 8.8.8.8",
		"w2 192.0.2.255 198.51.100.255",
		"w1 2001:db8:1::1 2001:db8:2::1 2001:db8:5::1 2001:db8:6::1 2001:db8:99::1 8000::1 4000::1 ::77 fe80::7",
		"w1 2001:db8:7::1 2001:db8:7:1::1 2001:db8:8::1 2001:db8:9::1 2001:db8:a::1 2001:db8:b::1 2001:db8:c::1",
		"w2 2001:db8:6::1 2001:db8:7:1::1 2001:db8:9::1 2001:db8:99::1",
	} {
		words := strings.Fields(line)
		for _, addr := range words[1:] {
			hops = append(hops, plan.NextHop{Dev: words[0], Via: netip.MustParseAddr(addr)})
		}
	}
	m, err := c.HostFacts(hops)
	must(t, err)
	refused := 0
	for _, h := range hops {
		here.Run(h.Dev+" "+h.Via.String(), func(t *testing.T) {
			family := plan.FamilyOf(h.Via)
			r := plan.Route{Table: table, Family: family, Dst: netip.PrefixFrom(unspecified(family), 0), Metric: 1,
				Kind: plan.Unicast, Protocol: plan.Protocol, Hops: []plan.Hop{{Dev: h.Dev, Via: h.Via, Weight: 1, Onlink: true}}}
			err, foreseen := c.SetRoute(r), m.Refusal(h.Dev, h.Via)
			if (err != nil) != (foreseen != nil) {
				t.Errorf("the kernel says %v, the host facts %+v", err, foreseen)
			}
			if foreseen != nil {
				refused++
			}
		})
	}
	if refused < 8 {
		t.Errorf("only %d of the gateways were refused", refused)
	}
	here.Run("equal facts are equal", func(t *testing.T) {
		slices.Reverse(hops)
		again, err := c.HostFacts(hops)
		must(t, err)
		if !slices.Equal(again.Refused, m.Refused) {
			t.Errorf("in another order: %+v, not %+v", again.Refused, m.Refused)
		}
	})
	here.Run("why", func(t *testing.T) {
		for _, want := range []string{
			"the kernel refuses gateway 192.0.2.255: it is the broadcast address of 192.0.2.0/24, the network of w1",
			"the kernel refuses gateway 2001:db8:99::1 on w1, because main routes 2000::/3 through w2: " +
				"ip -6 route add 2001:db8:99::1 dev w1",
		} {
			if !slices.ContainsFunc(m.Refused, func(r plan.Refusal) bool { return r.Reason() == want }) {
				t.Errorf("no refusal says %q", want)
			}
		}
	})
}
