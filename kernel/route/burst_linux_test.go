package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/compiler/plan"
)

// manyRoutes is how many routes a table with a long list of destinations has.
const manyRoutes = 10_000

func destinations(n int) []plan.Route {
	out := make([]plan.Route, n)
	for i := range out {
		dst := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		out[i] = plan.Route{Family: plan.IPv4, Table: table, Dst: dst, Metric: 1, Kind: plan.Unicast, Protocol: plan.Protocol,
			Hops: []plan.Hop{{Dev: "w1", Via: netip.MustParseAddr("192.0.2.1"), Weight: 1}}}
	}
	return out
}

// Many routes come and go in a time that is proportional to their number: a second is 20 times what
// it takes, and a hundredth of what a list for each took.
func TestManyRoutes(t *testing.T) {
	c := newNetns(t)
	routes := destinations(manyRoutes)
	began := time.Now()
	for start := 0; start < len(routes); start += BurstSize {
		for _, err := range c.SetRoutes(routes[start:min(start+BurstSize, len(routes))]) {
			must(t, err)
		}
	}
	if got := readRoutes(t, c); len(got) != manyRoutes {
		t.Fatalf("%d routes are there", len(got))
	}
	t.Logf("set and read %d routes in %s", manyRoutes, time.Since(began))
	began = time.Now()
	edit := c.EditRoutes()
	for start := 0; start < len(routes); start += BurstSize {
		for _, err := range edit.Del(routes[start:min(start+BurstSize, len(routes))]) {
			must(t, err)
		}
	}
	took := time.Since(began)
	t.Logf("deleted them in %s", took)
	if took > time.Second {
		t.Errorf("deleting %d routes takes %s", manyRoutes, took)
	}
	if got := readRoutes(t, c); len(got) != 0 {
		t.Fatalf("%d routes are left", len(got))
	}
}

// A route that the kernel refuses, alone or among others, has an error that names it; the others
// are set.
func TestRefusedInABurst(t *testing.T) {
	c := newNetns(t)
	routes := destinations(BurstSize)
	for _, i := range []int{0, 7, BurstSize - 1} {
		routes[i].Hops[0].Via = netip.MustParseAddr("203.0.113.1") // in no network
	}
	routes[9].Hops[0].Dev = "absent0"
	refused := 0
	for i, err := range c.SetRoutes(routes) {
		if err == nil {
			continue
		}
		refused++
		if !strings.Contains(err.Error(), fmt.Sprint(routes[i].Dst)) {
			t.Errorf("route %d: %v", i, err)
		}
	}
	if got := readRoutes(t, c); refused != 4 || len(got) != BurstSize-4 {
		t.Errorf("%d refused, %d set", refused, len(got))
	}
	for i := range routes {
		routes[i].Hops[0].Via = netip.MustParseAddr("203.0.113.1")
	}
	for i, err := range c.SetRoutes(routes) {
		if err == nil {
			t.Errorf("route %d is set", i)
		}
	}
	// Absent ones, and one that is not what was read, are left alone.
	for _, err := range c.EditRoutes().Del(routes) {
		must(t, err)
	}
	if got := readRoutes(t, c); len(got) != BurstSize-4 {
		t.Errorf("%d are left", len(got))
	}
}
