package conntrack

import (
	"net/netip"
	"testing"

	"pbr/integration/steps"
)

// TestPin: the connections that a flush by address would take get the mark instead, and no other
// does.
func TestPin(t *testing.T) {
	newNamespace(t)
	here := steps.InNamespace(t)
	ct := newConntrack(t)
	addConnections(t, ct)
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("::ffff:192.0.2.2"), netip.MustParseAddr("2001:db8:1::2")}
	before, err := Count(testMask)
	must(t, err)
	const mark = 0x440000
	n, err := Mark([]Pin{{Mark: mark, Mask: testMask, Addrs: addrs}, {Mark: mark, Mask: testMask}})
	must(t, err)
	want := len(namesOf("flush: unmarked"))
	after, err := Count(testMask)
	must(t, err)
	if n != want || after[mark].Connections != want || after[0].Connections != before[0].Connections-want {
		t.Errorf("pinned %d, %d have the mark, %d of %d unmarked are left; wanted %d", n, after[mark].Connections,
			after[0].Connections, before[0].Connections, want)
	}
	here.Run("they are the right ones: a flush by address finds none of them", func(t *testing.T) {
		_, err = Delete([]Flush{{Mask: testMask, Addrs: addrs}})
		must(t, err)
		if got := len(remaining(t)); got != len(connections) {
			t.Errorf("%d of %d are left of a flush that has nothing to delete", got, len(connections))
		}
	})
	here.Run("bits of others stay", func(t *testing.T) {
		others, err := Count(0x4500a234)
		must(t, err)
		if others[0x4500a234].Connections != 2 {
			t.Errorf("bits of others: %v", others)
		}
	})
	here.Run("a mark that is none, or not in the mask, is refused", func(t *testing.T) {
		for _, bad := range []Pin{{Mask: testMask, Addrs: addrs}, {Mark: 1, Mask: testMask, Addrs: addrs}} {
			if _, err := Mark([]Pin{bad}); err == nil {
				t.Errorf("%+v is accepted", bad)
			}
		}
	})
}
