package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

// table is the owned table of the tests.
const table = 112018

func via(dev, gateway string, weight int, onlink bool) plan.Hop {
	h := plan.Hop{Dev: dev, Weight: weight, Onlink: onlink}
	if gateway != "" {
		h.Via = netip.MustParseAddr(gateway)
	}
	return h
}

// routeCases pair routes with ip-route(8)'s words; listed is what ip route show prints, when that
// differs.
var routeCases = []struct {
	family        plan.Family
	words, listed string
	dst           string
	metric        uint32
	kind          plan.RouteKind
	hops          []plan.Hop
}{
	{4, "default via 192.0.2.1 dev w1 metric 1", "", "0.0.0.0/0", 1, plan.Unicast, []plan.Hop{via("w1", "192.0.2.1", 1, false)}},
	{4, "default via 192.0.2.1 dev w1", "", "0.0.0.0/0", 0, plan.Unicast, []plan.Hop{via("w1", "192.0.2.1", 1, false)}},
	{4, "default via 203.0.113.1 dev w1 metric 2 onlink", "", "0.0.0.0/0", 2, plan.Unicast, []plan.Hop{via("w1", "203.0.113.1", 1, true)}},
	{4, "default dev w2 metric 3", "default dev w2 scope link metric 3", "0.0.0.0/0", 3, plan.Unicast, []plan.Hop{via("w2", "", 1, false)}},
	{4, "10.0.0.0/8 via 198.51.100.1 dev w2 metric 1", "", "10.0.0.0/8", 1, plan.Unicast, []plan.Hop{via("w2", "198.51.100.1", 1, false)}},
	{4, "10.0.0.1/32 via 198.51.100.1 dev w2 metric 1", "10.0.0.1 via 198.51.100.1 dev w2 metric 1", "10.0.0.1/32", 1, plan.Unicast,
		[]plan.Hop{via("w2", "198.51.100.1", 1, false)}},
	{4, "default via inet6 fe80::1 dev w1 metric 4", "", "0.0.0.0/0", 4, plan.Unicast, []plan.Hop{via("w1", "fe80::1", 1, false)}},
	{4, "default metric 5 nexthop via 192.0.2.1 dev w1 weight 3 nexthop via 198.51.100.1 dev w2 weight 256 onlink",
		"default metric 5 nexthop via 192.0.2.1 dev w1 weight 3 nexthop via 198.51.100.1 dev w2 weight 256 onlink",
		"0.0.0.0/0", 5, plan.Unicast, []plan.Hop{via("w1", "192.0.2.1", 3, false), via("w2", "198.51.100.1", 256, true)}},
	{4, "default metric 6 nexthop via 192.0.2.1 dev w1 weight 1 nexthop dev w2 weight 1", "", "0.0.0.0/0", 6, plan.Unicast,
		[]plan.Hop{via("w1", "192.0.2.1", 1, false), via("w2", "", 1, false)}},
	{4, "unreachable default metric 65535", "", "0.0.0.0/0", 65535, plan.Unreachable, nil},
	{4, "prohibit 10.0.0.0/8 metric 7", "", "10.0.0.0/8", 7, plan.Prohibit, nil},
	{4, "blackhole 10.0.0.0/8 metric 8", "", "10.0.0.0/8", 8, plan.Blackhole, nil},
	{4, "throw default metric 9", "", "0.0.0.0/0", 9, plan.Throw, nil},
	{6, "default via fe80::1 dev w1 metric 1 pref medium", "", "::/0", 1, plan.Unicast, []plan.Hop{via("w1", "fe80::1", 1, false)}},
	{6, "default via 2001:db8:2::1 dev w2 metric 1024 pref medium", "", "::/0", 1024, plan.Unicast,
		[]plan.Hop{via("w2", "2001:db8:2::1", 1, false)}},
	{6, "default via 2001:db8:99::1 dev w2 metric 2 onlink pref medium", "", "::/0", 2, plan.Unicast,
		[]plan.Hop{via("w2", "2001:db8:99::1", 1, true)}},
	{6, "default dev w1 metric 3 pref medium", "", "::/0", 3, plan.Unicast, []plan.Hop{via("w1", "", 1, false)}},
	{6, "2001:db8:f::/48 via fe80::1 dev w1 metric 1 pref medium", "", "2001:db8:f::/48", 1, plan.Unicast,
		[]plan.Hop{via("w1", "fe80::1", 1, false)}},
	{6, "default metric 5 nexthop via fe80::1 dev w1 weight 3 nexthop via 2001:db8:2::1 dev w2 weight 2",
		"default metric 5 pref medium nexthop via fe80::1 dev w1 weight 3 nexthop via 2001:db8:2::1 dev w2 weight 2",
		"::/0", 5, plan.Unicast, []plan.Hop{via("w1", "fe80::1", 3, false), via("w2", "2001:db8:2::1", 2, false)}},
	{6, "unreachable default metric 65535", "unreachable default dev lo metric 65535 pref medium", "::/0", 65535, plan.Unreachable, nil},
	{6, "prohibit default metric 7", "prohibit default dev lo metric 7 pref medium", "::/0", 7, plan.Prohibit, nil},
	{6, "blackhole 2001:db8:f::/48 metric 8", "blackhole 2001:db8:f::/48 dev lo metric 8 pref medium",
		"2001:db8:f::/48", 8, plan.Blackhole, nil},
	{6, "throw default metric 9", "throw default dev lo metric 9 pref medium", "::/0", 9, plan.Throw, nil},
}

func caseRoute(i int) plan.Route {
	tc := routeCases[i]
	return plan.Route{Table: table, Family: tc.family, Dst: netip.MustParsePrefix(tc.dst), Metric: tc.metric, Kind: tc.kind,
		Hops: tc.hops, Protocol: plan.Protocol}
}

func readRoutes(t testing.TB, c *Conn, tables ...uint32) []plan.Route {
	t.Helper()
	_, routes, err := c.Read([]uint32{base}, tables)
	must(t, err)
	return routes
}

func TestRouteWrittenAndRead(t *testing.T) {
	c := newNetns(t)
	here := steps.InNamespace(t)
	for i, tc := range routeCases {
		here.Run(describeRoute(caseRoute(i)), func(t *testing.T) {
			r := caseRoute(i)
			words := tc.words
			if tc.listed == "" {
				tc.listed = tc.words
			}
			must(t, c.SetRoute(r))
			must(t, c.SetRoute(r)) // set, not add: again is not an error
			got := strings.Join(lines(ip(t, fmt.Sprintf("-%d route show table %d proto 112", tc.family, table))), " ")
			if got != tc.listed {
				t.Errorf("%s: ip lists %q, not %q", describeRoute(r), got, tc.listed)
			}
			must(t, c.DelRoute(r))
			must(t, c.DelRoute(r)) // absent: success
			words = strings.TrimSuffix(words, " pref medium")
			at := strings.Index(words+" nexthop", " nexthop")
			ip(t, fmt.Sprintf("-%d route add %s table %d proto 112 %s", tc.family, words[:at], table, words[at:]))
			if routes := readRoutes(t, c); len(routes) != 1 || !routes[0].Equal(r) {
				t.Errorf("ip route add %s reads as %v, not %v", words, routes, r)
			}
			must(t, c.DelRoute(r))
			if routes := readRoutes(t, c); len(routes) != 0 {
				t.Fatalf("still there: %v", routes)
			}
		})
	}
}

// TestForeignRoutes puts routes with what pbr never sets into an owned table: they look like no
// route of pbr's, can go, and a wanted route of their key takes their place.
func TestForeignRoutes(t *testing.T) {
	c := newNetns(t)
	here := steps.InNamespace(t)
	ip(t, "nexthop add id 5 via 192.0.2.1 dev w1")
	ip(t, "-6 nexthop add id 6 via fe80::1 dev w1")
	ip(t, "nexthop add id 7 via 198.51.100.1 dev w2")
	ip(t, "nexthop add id 8 group 5/7")
	for _, tc := range []struct{ words, foreign string }{
		{"-4 route add default via 192.0.2.1 dev w1 metric 1 src 192.0.2.2", "src 192.0.2.2"},
		{"-4 route add default via 192.0.2.1 dev w1 metric 1 mtu 1400", "mtu 1400"},
		{"-4 route add default via 192.0.2.1 dev w1 metric 1 advmss 900 proto 112", "advmss 900"},
		{"-4 route add default via 192.0.2.1 dev w1 metric 1 realms 3/5", "realms 3/5"},
		{"-4 route add default via 192.0.2.1 dev w1 metric 1 tos 0x10", "tos 0x10"},
		{"-4 route add default dev w1 metric 1 scope host", "scope 254"},
		{"-4 route add default metric 1 nhid 5", "nhid 5"},
		{"-4 route add default metric 1 nhid 8", "nhid 8"},
		{"-4 route add local 10.0.0.0/8 dev lo metric 1", ""},
		{"-4 route add default via 192.0.2.1 dev w1 metric 1 proto static", ""},
		{"-4 route add default via 192.0.2.1 dev w1 metric 0 proto static", ""},
		{"-6 route add default via fe80::1 dev w1 metric 1 src 2001:db8:1::2", "src 2001:db8:1::2"},
		{"-6 route add default via fe80::1 dev w1 metric 1 expires 500", "expires"},
		{"-6 route add default via fe80::1 dev w1 metric 1 pref high", "pref 1"},
		{"-6 route add default metric 1 nhid 6", "nhid 6"},
		{"-6 route add default from 2001:db8:1::/64 via fe80::1 dev w1 metric 1", "from /64 from 0x20010db8000100000000000000000000"},
		{"-6 route add default via fe80::1 dev w1 metric 1 proto ra", ""},
		{"-6 route add unreachable default metric 1 proto static", ""},
	} {
		here.Run(tc.words, func(t *testing.T) {
			ip(t, fmt.Sprintf("%s table %d", tc.words, table))
			routes := readRoutes(t, c, table, table, plan.MainTable, 255)
			if len(routes) != 1 || routes[0].Foreign != tc.foreign {
				t.Errorf("%s reads as %v, wanted foreign %q", tc.words, routes, tc.foreign)
				return
			}
			if tc.foreign != "" {
				if err := c.SetRoute(routes[0]); err == nil || !strings.Contains(err.Error(), tc.foreign) {
					t.Errorf("made what is foreign: %v", err)
				}
			}
			must(t, c.DelRoute(routes[0]))
			if left := readRoutes(t, c, table); len(left) != 0 {
				t.Fatalf("%s: still there: %v", tc.words, left)
			}
		})
	}
}

// TestSetRouteReplacesForeign checks that a wanted route takes the place of whoever's stands there.
func TestSetRouteReplacesForeign(t *testing.T) {
	c := newNetns(t)
	here := steps.InNamespace(t)
	for i, tc := range routeCases {
		here.Run(describeRoute(caseRoute(i)), func(t *testing.T) {
			r := caseRoute(i)
			dev := map[plan.Family]string{4: "via 192.0.2.77 dev w1", 6: "via fe80::77 dev w1"}[tc.family]
			ip(t, fmt.Sprintf("-%d route add %s %s metric %d table %d proto static", tc.family, tc.dst, dev, tc.metric, table))
			must(t, c.SetRoute(r))
			if routes := readRoutes(t, c, table); len(routes) != 1 || !routes[0].Equal(r) {
				t.Errorf("%s over another: reads as %v", describeRoute(r), routes)
			}
			must(t, c.DelRoute(r))
		})
	}
}

// TestDelRouteTakesNoOther deletes one of several routes that differ in metric or protocol alone.
func TestDelRouteTakesNoOther(t *testing.T) {
	c := newNetns(t)
	for _, m := range []int{1, 2, 3} {
		ip(t, fmt.Sprintf("-4 route add default via 192.0.2.1 dev w1 metric %d table %d proto 112", m, table))
	}
	ip(t, fmt.Sprintf("-4 route append default via 192.0.2.1 dev w1 metric 2 table %d proto static", table))
	all := readRoutes(t, c, table)
	if len(all) != 4 {
		t.Fatalf("made %v", all)
	}
	gone := all[0]
	gone.Metric = 0
	must(t, c.DelRoute(gone)) // metric 0 means "any" to the kernel
	if left := readRoutes(t, c, table); len(left) != 4 {
		t.Fatalf("an absent route took another: %v", left)
	}
	must(t, c.DelRoute(all[1]))
	left := readRoutes(t, c, table)
	if want := []plan.Route{all[0], all[2], all[3]}; !slices.EqualFunc(left, want, plan.Route.Equal) {
		t.Errorf("left is %v, not %v", left, want)
	}
}

// TestReadRoutesOwnership reads ours in any table and others' in owned tables, and nothing else.
func TestReadRoutesOwnership(t *testing.T) {
	c := newNetns(t)
	ip(t, "-4 route add 10.1.0.0/16 via 192.0.2.1 dev w1 proto static")              // main: foreign
	ip(t, "-4 route add 10.2.0.0/16 via 192.0.2.1 dev w1 proto 112")                 // main: ours
	ip(t, "-4 route add 10.3.0.0/16 via 192.0.2.1 dev w1 proto 112 table 500")       // unknown table: ours
	ip(t, "-4 route add 10.4.0.0/16 via 192.0.2.1 dev w1 table 500")                 // unknown table: foreign
	ip(t, "-4 route add 10.5.0.0/16 via 192.0.2.1 dev w1 table 100")                 // owned table
	ip(t, "-6 route add fe80::/64 dev w1 proto kernel table 100")                    // as the kernel puts into a VRF's, which this is not
	ip(t, "-6 route add local 2001:db8:1::5 dev lo proto kernel table 100 metric 1") // likewise
	ip(t, "-4 route add local 10.6.0.1 dev lo proto kernel table 100")               // likewise
	ip(t, "-6 route add fe80::/64 dev w2 table 100 metric 2")                        // a person's
	var got []string
	for _, r := range readRoutes(t, c, 100, 101) {
		got = append(got, fmt.Sprintf("%s table %d", r.Dst, r.Table))
	}
	want := []string{"10.5.0.0/16 table 100", "10.6.0.1/32 table 100", "10.2.0.0/16 table 254", "10.3.0.0/16 table 500",
		"2001:db8:1::5/128 table 100", "fe80::/64 table 100", "fe80::/64 table 100"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestVRFTable: only a VRF's table has routes that the kernel puts there.
func TestVRFTable(t *testing.T) {
	links := []liveLink{{kind: "dummy"}, {kind: "vrf", table: 100}}
	if !hasVRF(links, 100) || hasVRF(links, 101) || hasVRF(links[:1], 0) {
		t.Error("not only table 100 is a VRF's")
	}
}

// TestRandomRoutes writes random routes and reads them back, then deletes them in random order.
func TestRandomRoutes(t *testing.T) {
	c := newNetns(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	byKey := map[plan.RouteKey]plan.Route{}
	for range 400 {
		r := randomRoute(rng)
		must(t, c.SetRoute(r))
		byKey[r.Key()] = r
	}
	var want []plan.Route
	for _, r := range byKey {
		want = append(want, r)
	}
	slices.SortFunc(want, plan.CompareRoutes)
	if got := readRoutes(t, c); !slices.EqualFunc(got, want, plan.Route.Equal) {
		t.Fatalf("seed %d: got\n%v\nwant\n%v", seed, got, want)
	}
	rng.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	for len(want) > 0 {
		for _, r := range want[:(len(want)+1)/2] {
			must(t, c.DelRoute(r))
		}
		want = want[(len(want)+1)/2:]
		left := slices.Clone(want)
		slices.SortFunc(left, plan.CompareRoutes)
		if got := readRoutes(t, c); !slices.EqualFunc(got, left, plan.Route.Equal) {
			t.Fatalf("seed %d: got\n%v\nwant\n%v", seed, got, left)
		}
	}
}

func randomRoute(rng *rand.Rand) plan.Route {
	r := caseRoute(rng.IntN(len(routeCases)))
	r.Table += uint32(rng.IntN(3))
	if r.Family == plan.IPv4 || r.Metric != 1024 {
		r.Metric = uint32(1 + rng.IntN(4))
	}
	return r
}

// TestLinkStateIsNoDifference takes the carrier of a hop's far end, and the link itself of another,
// away.
func TestLinkStateIsNoDifference(t *testing.T) {
	c := newNetns(t)
	single := caseRoute(0)
	double := caseRoute(7)
	must(t, c.SetRoute(single))
	must(t, c.SetRoute(double))
	want := []plan.Route{single, double}
	ip(t, "link set x1 down")
	if got := readRoutes(t, c); !slices.EqualFunc(got, want, plan.Route.Equal) {
		t.Errorf("carrier lost: %v, not %v", got, want)
	}
	ip(t, "link set w2 down")
	if got := readRoutes(t, c); !slices.EqualFunc(got, want, plan.Route.Equal) {
		t.Errorf("link down: %v, not %v", got, want)
	}
}

func TestRouteErrorsNameTheObject(t *testing.T) {
	c := newNetns(t)
	here := steps.InNamespace(t)
	good := caseRoute(0)
	for want, change := range map[string]func(*plan.Route){
		"interface absent0: no such device": func(r *plan.Route) { r.Hops = []plan.Hop{via("absent0", "", 1, false)} },
		"network is unreachable: Nexthop has invalid gateway": func(r *plan.Route) {
			r.Hops = []plan.Hop{via("w1",
				"203.0.113.1", 1, false)}
		},
		"no next hop":                    func(r *plan.Route) { r.Hops = nil },
		"its gateway is not known yet":   func(r *plan.Route) { r.Hops = []plan.Hop{{Dev: "w1", Auto: true, Weight: 1}} },
		"is of the other address family": func(r *plan.Route) { r.Family = plan.IPv6 },
		"next hop w1: invalid weight 257": func(r *plan.Route) {
			r.Hops = []plan.Hop{via("w1", "", 257, false),
				via("w2", "", 1, false)}
		},
		`interface "0123456789abcdef": inv`: func(r *plan.Route) { r.Hops = []plan.Hop{via("0123456789abcdef", "", 1, false)} },
	} {
		here.Run(want, func(t *testing.T) {
			r := good
			change(&r)
			err := c.SetRoute(r)
			if err == nil || !strings.HasPrefix(err.Error(), "setting "+describeRoute(r)+": ") || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, wanted %q", err, want)
			}
		})
	}
	here.Run("over a link that is down", func(t *testing.T) {
		ip(t, "link set w1 down")
		if err := c.SetRoute(good); err == nil ||
			err.Error() != "setting ip -4 route default via 192.0.2.1 dev w1 table 112018 metric 1: network is unreachable" &&
				!strings.Contains(err.Error(), "Device") && !strings.Contains(err.Error(), "Nexthop") {
			t.Errorf("over a link that is down: %v", err)
		}
	})
}
