package dataplane

import (
	"fmt"
	"testing"
)

// config is a way to set up a router, and a row of the table.
type config struct {
	name string
	// n is how many policies or rules there are; rows of one series with different n make a line of
	// the plot.
	n      int
	series string
	// plain routers do not translate.
	plain bool
	// steers means that matched streams leave through wan2.
	steers bool
	// setUp makes a fresh router one of these.
	setUp func(testing.TB, *router, []selector)
}

// quickRows are those of the quick mode, base and frozen besides.
var quickRows = []string{
	pbrSetUp{1000, 2, ""}.String(), pbrSetUp{10_000, 2, ""}.String(), pbrSetUp{1000, 2, "nft"}.String(),
	pbrSetUp{10_000, 2, "nft"}.String(),
}

// usualRows are those of a run without flags: what pbr itself costs, its floor, and one of each
// other way.
var usualRows = append([]string{
	"plain forwarding", base + ", one ip rule", base + ", one ip rule, accept_local",
	pbrSetUp{10, 2, ""}.String(), pbrSetUp{1000, 200, ""}.String(), pbrSetUp{10, 2, "nft"}.String(), pbrSetUp{1000, 200, "nft"}.String(),
	"mwan3's way, 100 rules", "RouterOS's way, 10 handlings", "OpenWrt pbr's way, 100 policies",
}, quickRows...)

// base is the row that others are measured by.
const base = "conntrack + masquerade"

// baseSelectors is how many selectors the matched streams have where nothing is selected.
const baseSelectors = 1000

func configs() []config {
	list := []config{
		{name: "plain forwarding", plain: true},
		{name: base, setUp: masquerade},
		{name: base + ", one ip rule", setUp: oneRule},
		{name: base + ", one ip rule, accept_local", setUp: acceptLocal},
	}
	for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
		list = append(list, pbrSetUp{n, 2, ""}.config())
	}
	list = append(list, pbrSetUp{1000, 32, ""}.config(), pbrSetUp{1000, 200, ""}.config())
	for _, p := range []pbrSetUp{{10, 2, "nft"}, {1000, 2, "nft"}, {10_000, 2, "nft"}, {100_000, 2, "nft"}, {1000, 200, "nft"}} {
		list = append(list, p.config())
	}
	for _, n := range []int{10, 100, 1000} {
		list = append(list,
			config{name: fmt.Sprintf("mwan3's way, %s rules", thousands(n)), series: "mwan3", n: n, steers: true, setUp: mwan3},
			config{name: fmt.Sprintf("RouterOS's way, %s handlings", thousands(n)), series: "RouterOS", n: n,
				steers: true, setUp: routerOS},
			config{name: fmt.Sprintf("OpenWrt pbr's way, %s policies", thousands(n)), series: "OpenWrt pbr", n: n,
				steers: true, setUp: openWrt},
		)
	}
	list = append(list, frozenConfig())
	for i := range list {
		if list[i].n == 0 {
			list[i].n = baseSelectors
		}
	}
	return list
}

// masquerade is what a router without policies has.
func masquerade(_ testing.TB, r *router, _ []selector) {
	r.NFT(`table inet nat {
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname { "wan1", "wan2" } masquerade
	}
}
`)
}

// oneRule shows what the first ip rule of any kind costs.
func oneRule(t testing.TB, r *router, all []selector) {
	masquerade(t, r, all)
	r.IP("rule add priority 100 fwmark 1 lookup 100")
	r.IP6("rule add priority 100 fwmark 1 lookup 100")
}

// acceptLocal shows what is left of it without the reverse look-up.
func acceptLocal(t testing.TB, r *router, all []selector) {
	oneRule(t, r, all)
	r.Sysctl("net/ipv4/conf/all/accept_local", "1")
}
