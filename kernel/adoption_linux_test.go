package kernel

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/ti-mo/conntrack"

	"pbr/integration/steps"
)

// TestAdoption: of connections that are older than the table, what would stay untranslated is
// deleted, what carries the second uplink's address is pinned, and what goes through the primary
// one stays as it is; also if an apply is killed before it has looked, and never by an edit.
func TestAdoption(t *testing.T) {
	k := newKernel(t)
	lib := newConntrack(t)
	run(t, "sysctl -w net.ipv4.ip_forward=1")
	run(t, "ip route add 172.16.0.0/12 dev x1")
	p := compile(t, k, twoUplinks, nil)
	replies := map[string]string{"172.16.0.1": "172.16.0.1", "172.16.0.2": "198.51.100.2", "172.16.0.3": "192.0.2.2"}
	fill := func(t *testing.T) {
		must(t, lib.Flush())
		for src, reply := range replies {
			f := conntrack.NewFlow(17, 0, netip.MustParseAddr(src), netip.MustParseAddr("8.8.8.8"), 1000, 53, 600, otherBits)
			f.TupleReply.IP.DestinationAddress = netip.MustParseAddr(reply)
			must(t, lib.Create(f))
		}
	}
	var isp2 uint32
	for _, n := range p.Numbers {
		if n.Name == "isp2" {
			isp2 = n.Mark
		}
	}
	expect := func(t *testing.T, when string, want map[string]uint32) {
		t.Helper()
		flows, err := lib.Dump(nil)
		must(t, err)
		if len(flows) != len(want) {
			t.Errorf("%s: %d connections are left, not %d", when, len(flows), len(want))
		}
		for _, f := range flows {
			src := f.TupleOrig.IP.SourceAddress.String()
			if mark, stays := want[src]; !stays || f.Mark != mark|otherBits {
				t.Errorf("%s: %s has mark %x, wanted %x, %v", when, src, f.Mark, mark, stays)
			}
		}
	}
	untouched := map[string]uint32{"172.16.0.1": 0, "172.16.0.2": 0, "172.16.0.3": 0}
	adopted := map[string]uint32{"172.16.0.2": isp2, "172.16.0.3": 0}

	step := steps.InNamespace(t).Steps()
	step.Run("the first apply deletes what is untranslated and pins what is the second uplink's", func(t *testing.T) {
		fill(t)
		if r := apply(t, k, p); r.Flushed != 1 || r.Adopted != 1 || r.Empty() {
			t.Errorf("first apply: %+v", r)
		}
		expect(t, "first apply", adopted)
		holds(t, k, p)
	})

	step.Run("an apply with nothing to do touches none", func(t *testing.T) {
		fill(t)
		apply(t, k, p)
		expect(t, "nothing to do", untouched)
	})
	edited := compile(t, k, twoUplinks+"[[policy]]\nname = \"more\"\ndport = 80\nproto = \"tcp\"\ntable = \"both\"\n", nil)
	step.Run("an edit touches none", func(t *testing.T) {
		apply(t, k, edited)
		expect(t, "an edit", untouched)
	})

	step.Run("the table was deleted: as at first", func(t *testing.T) {
		run(t, "nft delete table inet pbr")
		apply(t, k, edited)
		expect(t, "the table was deleted", adopted)
		holds(t, k, edited)
	})

	step.Run("an apply that is killed before it has looked: the next one does", func(t *testing.T) {
		for n := 0; ; n++ {
			must(t, lib.Flush())
			run(t, "nft delete table inet pbr")
			fill(t)
			k2 := open(t, filepath.Dir(k.dir))
			stopped := killAt(k2, n, func() { apply(t, k2, edited) })
			apply(t, k, edited)
			expect(t, "killed", adopted)
			if !stopped {
				break
			}
		}
	})
}

// TestLateAnswerIsFound: an answer to a flushed connection comes after apply has waited for it, and
// begins a connection from outside. The next apply deletes it, and no other connection from
// outside.
func TestLateAnswerIsFound(t *testing.T) {
	k := newKernel(t)
	lib := newConntrack(t)
	run(t, "sysctl -w net.ipv4.ip_forward=1")
	run(t, "ip route add 172.16.0.0/12 dev x1")
	p := compile(t, k, twoUplinks, nil)
	create := func(src, dst string, sport, dport uint16) {
		t.Helper()
		must(t, lib.Create(conntrack.NewFlow(17, 0, netip.MustParseAddr(src), netip.MustParseAddr(dst), sport, dport, 600, 0)))
	}
	create("172.16.0.1", "8.8.8.8", 1000, 53)
	if r := apply(t, k, p); r.Flushed != 1 {
		t.Fatalf("first apply: %+v", r)
	}
	create("8.8.8.8", "172.16.0.1", 53, 1000)
	create("8.8.8.8", "172.16.0.1", 54, 1000)
	if r := apply(t, k, p); r.Flushed != 1 {
		t.Errorf("second apply: %+v", r)
	}
	create("8.8.8.8", "172.16.0.1", 53, 1000)
	if n, again, err := k.SweepLate(); n != 1 || again != firstSweep || err != nil {
		t.Errorf("a look without an apply: deleted %d, next in %v, %v", n, again, err)
	}
	if n, again, err := k.SweepLate(); n != 0 || again < firstSweep || err != nil {
		t.Errorf("one that finds nothing: deleted %d, next in %v, %v", n, again, err)
	}
	flows, err := lib.Dump(nil)
	must(t, err)
	if len(flows) != 1 || flows[0].TupleOrig.Proto.SourcePort != 54 {
		t.Errorf("%d are left: %+v", len(flows), flows)
	}
	holds(t, k, p)
}

// TestAnswerToAConnectionThatEnded: while the table is made the kernel ends a connection from
// inside, as it does with a masqueraded one that leaves through another interface. The answer to a
// packet that was not translated begins a connection from outside in its place, at once or later:
// it is deleted, because packets from inside would belong to it and pass every policy.
func TestAnswerToAConnectionThatEnded(t *testing.T) {
	k := newKernel(t)
	lib := newConntrack(t)
	run(t, "sysctl -w net.ipv4.ip_forward=1")
	run(t, "ip route add 172.16.0.0/12 dev x1")
	p := compile(t, k, twoUplinks, nil)
	inside, far := netip.MustParseAddr("172.16.0.1"), netip.MustParseAddr("8.8.8.8")
	begun := func(sport, dport uint16) { // -- from outside
		t.Helper()
		must(t, lib.Create(conntrack.NewFlow(17, 0, far, inside, sport, dport, 600, 0)))
	}
	expect := func(t *testing.T, want int) {
		t.Helper()
		flows, err := lib.Dump(nil)
		must(t, err)
		if len(flows) != want {
			t.Errorf("%d connections are left, not %d: %+v", len(flows), want, flows)
		}
	}
	// remade makes the table again while there is a connection from a port, and does something when
	// the rules are in force.
	remade := func(t *testing.T, port uint16, inForce func()) {
		t.Helper()
		run(t, "nft delete table inet pbr")
		must(t, lib.Flush())
		f := conntrack.NewFlow(17, 0, inside, far, port, 53, 600, 0)
		f.TupleReply.IP.DestinationAddress = netip.MustParseAddr("192.0.2.2")
		must(t, lib.Create(f))
		k.step = func(what string) {
			if what == "adopt connections" {
				inForce()
			}
		}
		defer func() { k.step = func(string) {} }()
		apply(t, k, p)
	}
	apply(t, k, p)
	step := steps.InNamespace(t).Steps()
	step.Run("the connection is there: it stays", func(t *testing.T) {
		remade(t, 1000, func() {})
		expect(t, 1)
	})
	step.Run("a connection of other ports is none of its answers", func(t *testing.T) {
		remade(t, 1001, func() { begun(54, 1001) })
		expect(t, 2)
	})
	step.Run("the answer came before apply looks", func(t *testing.T) {
		remade(t, 1002, func() { must(t, lib.Flush()); begun(53, 1002) })
		expect(t, 0)
	})
	step.Run("the answer comes later: the next apply deletes the connection", func(t *testing.T) {
		remade(t, 1003, func() { must(t, lib.Flush()) })
		begun(53, 1003)
		begun(54, 1003)
		expect(t, 2)
		apply(t, k, p)
		expect(t, 1)
	})
	holds(t, k, p)
}
