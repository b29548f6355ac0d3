package kernel

import (
	"errors"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/integration/steps"
)

// TestKilledBeforeTheNATChains: an apply that makes the table again is killed when all of it is
// there but what translates and pins. New connections wait: none leaves untranslated, or unpinned,
// which a strict one would stay. Those under way go on, and the next apply lets new ones through.
func TestKilledBeforeTheNATChains(t *testing.T) {
	k := newKernel(t)
	run(t, "ip neigh replace 192.0.2.1 lladdr 02:00:00:00:00:01 dev w1")
	run(t, "ip neigh replace 198.51.100.1 lladdr 02:00:00:00:00:02 dev w2")
	p := compile(t, k, twoUplinks+strictPolicies, nil)
	apply(t, k, p)
	dial := func(far string) net.Conn {
		t.Helper()
		c, err := net.Dial("udp", far)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	sent := func(c net.Conn) bool {
		t.Helper()
		_, err := c.Write([]byte("x"))
		if err != nil && !errors.Is(err, unix.EPERM) { // -- which is what a drop on the way out gives
			t.Fatal(err)
		}
		return err == nil
	}
	const byDefault, strict = "8.8.8.8:53", "8.8.4.4:53"
	older := []net.Conn{dial(byDefault), dial(strict)}
	step := steps.InNamespace(t).Steps()
	step.Run("they begin while the table is there", func(t *testing.T) {
		for _, c := range older {
			if !sent(c) {
				t.Errorf("%v does not leave", c.RemoteAddr())
			}
		}
	})
	step.Run("killed: no new connection leaves, those under way go on", func(t *testing.T) {
		run(t, "nft delete table inet pbr")
		second := open(t, strings.TrimSuffix(k.dir, "/"+lastElement(k.dir)))
		if !killWhen(second, func(what string) bool { return what == makeNATChains }, func() { apply(t, second, p) }) {
			t.Fatal("the NAT chains are made with the table")
		}
		for _, c := range older {
			if !sent(c) {
				t.Errorf("%v is held up", c.RemoteAddr())
			}
		}
		for _, far := range []string{byDefault, strict} {
			if sent(dial(far)) {
				t.Errorf("a new connection to %s leaves", far)
			}
		}
	})
	step.Run("the next apply lets them through, and leaves nothing else", func(t *testing.T) {
		apply(t, k, p)
		holds(t, k, p)
		for _, far := range []string{byDefault, strict} {
			if !sent(dial(far)) {
				t.Errorf("a new connection to %s does not leave", far)
			}
		}
	})
}

// strictPolicies send what the router itself sends to an address through the second uplink alone.
const strictPolicies = `
[[policy]]
name = "strict"
from = "local"
dst = "8.8.4.4"
uplink = "isp2"
strict = true
`
