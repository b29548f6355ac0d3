package route

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestLinksAsTheLibraryReadsThem: interfaces, addresses and neighbours are those that a netlink
// library finds.
func TestLinksAsTheLibraryReadsThem(t *testing.T) {
	c := newNetns(t)
	for _, args := range []string{
		"link add veth0 type veth peer name veth1", "link add br0 type bridge", "tuntap add tun0 mode tun",
		"link set veth1 master br0", "link set br0 up",
		"link set veth0 up", "link set veth1 up",
		"addr add 10.9.9.1/24 dev veth0", "addr add 10.9.9.9 peer 198.51.100.1/32 dev veth0",
		"addr add 2001:db8::1/64 dev veth0 nodad", "addr add 2001:db8:1::1 peer 2001:db8:2::1/64 dev veth0 nodad",
		"neigh add 10.9.9.5 lladdr 02:00:00:00:00:05 dev veth0", "neigh add 2001:db8::5 lladdr 02:00:00:00:00:06 dev veth0",
	} {
		ip(t, args)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(t, err)
	defer h.Close()
	ours, theirs := unchanged(t, c.links, h.LinkList)
	if len(ours) != len(theirs) || len(ours) < 4 {
		t.Fatalf("%d links, the library finds %d", len(ours), len(theirs))
	}
	for i, l := range theirs {
		a := l.Attrs()
		want := liveLink{index: uint32(a.Index), master: uint32(a.MasterIndex), parent: uint32(a.ParentIndex), name: a.Name,
			kind: ours[i].kind, flags: a.RawFlags}
		if ours[i] != want || linkKind(ours[i].kind) != l.Type() {
			t.Errorf("got %+v, want %+v of kind %s", ours[i], want, l.Type())
		}
	}
	have, addrs := unchanged(t, c.addrs, func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_ALL) })
	if len(have) != len(addrs) {
		t.Fatalf("%d addresses, the library finds %d", len(have), len(addrs))
	}
	for i, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		broadcast, _ := netip.AddrFromSlice(a.Broadcast)
		want := liveAddr{netip.PrefixFrom(ip.Unmap(), bits), uint32(a.LinkIndex), uint8(a.Scope), uint32(a.Flags), broadcast.Unmap()}
		if have[i] != want {
			t.Errorf("got %+v, want %+v", have[i], want)
		}
	}
	near, err := c.Neighbours()
	must(t, err)
	for addr, mac := range map[string][6]byte{"10.9.9.5": {2, 0, 0, 0, 0, 5}, "2001:db8::5": {2, 0, 0, 0, 0, 6}} {
		if got := near[netip.MustParseAddr(addr)]; got != mac {
			t.Errorf("neighbour %s: got %x, want %x", addr, got, mac)
		}
	}
	if !c.LeadsThrough(netip.MustParseAddr("10.9.9.77"), "veth0") || c.LeadsThrough(netip.MustParseAddr("10.9.9.77"), "br0") ||
		c.LeadsThrough(netip.MustParseAddr("203.0.113.1"), "veth0") {
		t.Error("10.9.9.77 alone leads through veth0")
	}
}

// unchanged reads the same in two ways, until nothing changes meanwhile: the kernel adds link-local
// addresses when links come up, and ends their tentative state.
func unchanged[T comparable, U any](t *testing.T, ours func() ([]T, error), theirs func() ([]U, error)) ([]T, []U) {
	t.Helper()
	for {
		before, err := ours()
		must(t, err)
		other, err := theirs()
		must(t, err)
		after, err := ours()
		must(t, err)
		if slices.Equal(before, after) {
			return before, other
		}
	}
}
