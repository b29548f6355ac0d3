package dataplane

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"pbr/integration/lab"
)

// The router's devices; both ends of a cable have the same name and number.
const (
	lan, wan1, wan2 = "lan", "wan1", "wan2"

	lanIndex, wan1Index, wan2Index = 11, 12, 13
)

type device struct {
	name  string
	index int
	// router and far are the addresses of the ends, by family.
	router, far [2]string
	bits        [2]int
}

// network is what a device is connected to.
func (d device) network(f family) netip.Prefix {
	return netip.PrefixFrom(netip.MustParseAddr(d.router[f]), d.bits[f]).Masked()
}

var devices = []device{
	{lan, lanIndex, [2]string{"192.168.10.1", "2001:db8:10::1"}, [2]string{"192.168.10.2", "2001:db8:10::2"}, [2]int{24, 64}},
	{wan1, wan1Index, [2]string{"192.0.2.2", "2001:db8:f1::2"}, [2]string{"192.0.2.1", "2001:db8:f1::1"}, [2]int{24, 64}},
	{wan2, wan2Index, [2]string{"198.51.100.2", "2001:db8:f2::2"}, [2]string{"198.51.100.1", "2001:db8:f2::1"}, [2]int{24, 64}},
}

// clients are the networks behind the LAN's next hop.
var clients = [2]string{"10.0.0.0/8", "fd00::/8"}

// wanAddr returns the router's address on an uplink.
func wanAddr(index int, f family) netip.Addr {
	return netip.MustParseAddr(devices[index-lanIndex].router[f])
}

// router is one that packets are sent through.
type router struct {
	*lab.Host
}

// newRouter makes a router with a LAN and two uplinks, whose far ends drop everything. It forwards,
// and has a default route through wan1 in main; nothing else is set.
func newRouter(t testing.TB, s *sink) *router {
	t.Helper()
	l := lab.New(t)
	r := &router{l.Host("router")}
	far := l.Host("far")
	for path, value := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1",
		"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0",
	} {
		r.Sysctl(path, value)
	}
	far.Sysctl("net/ipv6/conf/all/disable_ipv6", "1")
	far.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
	for _, d := range devices {
		r.IP(
			fmt.Sprintf("link add %s index %d address %s type veth peer name %s index %d address %s netns %s",
				d.name, d.index, addrOf(routerMAC), d.name, d.index, addrOf(farMAC), far.NS),
			fmt.Sprintf("link set %s up", d.name),
		)
		far.IP(fmt.Sprintf("link set %s up", d.name))
		for f := range d.router {
			r.IP(
				fmt.Sprintf("addr add %s/%d dev %s", d.router[f], d.bits[f], d.name),
				fmt.Sprintf("neigh add %s lladdr %s dev %s nud permanent", d.far[f], addrOf(farMAC), d.name),
			)
		}
		var err error
		far.Do(func() { err = s.attach(d.index) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for f := range clients {
		r.IP(
			fmt.Sprintf("route add %s via %s dev %s", clients[f], devices[0].far[f], lan),
			fmt.Sprintf("route add default via %s dev %s", devices[1].far[f], wan1),
		)
	}
	return r
}

func addrOf(m mac) string { return net.HardwareAddr(m[:]).String() }
