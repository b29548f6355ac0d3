package conntrack

import "testing"

// TestNone: the kernel says whether there is any connection, also one with no mark, of either IP
// version.
func TestNone(t *testing.T) {
	newNamespace(t)
	c, err := Dial()
	must(t, err)
	defer c.Close()
	is := func(want int) {
		t.Helper()
		flows, err := List(c, All())
		must(t, err)
		if got := none(c); got != (want == 0) || len(flows) != want {
			t.Errorf("none: %v, listed %+v, wanted %d", got, flows, want)
		}
	}
	is(0)
	ct := newConntrack(t)
	for i, one := range []connection{
		{"four", "10.0.0.1", "8.8.8.8", "8.8.8.8", "10.0.0.1", 0},
		{"six", "2001:db8::1", "2001:db8::2", "2001:db8::2", "2001:db8::1", 0},
	} {
		one.add(t, ct, uint16(1000+i))
		is(1)
		flows, err := List(c, All())
		must(t, err)
		for i := range flows {
			_, err := flows[i].Remove(c)
			must(t, err)
		}
		is(0)
	}
}
