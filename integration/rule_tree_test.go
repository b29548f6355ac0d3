package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// manyTables is twoUplinks with so many tables more, and hosts steered by the first and the last
// ones.
func manyTables(n int) string {
	var b strings.Builder
	b.WriteString(twoUplinks)
	for i := range n {
		fmt.Fprintf(&b, "[[table]]\nname = \"many-%d\"\nroutes = [{ uplink = \"isp2\" }, { uplink = \"isp1\", distance = 2 }]\n", i)
	}
	for i, table := range []int{0, 3, 7} {
		fmt.Fprintf(&b, "[[policy]]\nname = \"many-%d\"\nsrc = \"192.168.10.%d\"\nproto = \"udp\"\ndport = "+
			"%d\ntable = \"many-%d\"\n", i, 11, 7001+i, table)
	}
	return b.String()
}

// Packets keep their way while the rules for marks grow into a tree and shrink again, and no
// connection loses one of them.
func TestPacketsKeepTheirWayWhileTheTreeGrows(t *testing.T) {
	t.Parallel()
	s := trapNet(t, "")
	s.router.apply(manyTables(10))
	var streams []*lab.Stream
	lan := s.LANs["lan"]
	for _, from := range [][2]string{{"192.168.10.11", "9.9.9.9:7001"}, {"192.168.10.11", "9.9.9.9:7002"},
		{"192.168.10.11", "9.9.9.9:7003"}, {"192.168.10.10", "9.9.9.9:53"}} {
		streams = append(streams, lan.Stream(netip.MustParseAddr(from[0]), netip.MustParseAddrPort(from[1]), time.Millisecond))
	}
	answered := func(from int) func() bool {
		return func() bool {
			for _, x := range streams {
				if x.Tale().Answered < from {
					return false
				}
			}
			return true
		}
	}
	lab.WaitFor(t, "the first answers", answered(20))
	lost := make([]int, len(streams)) // while neighbours looked for each other; some may only be late
	for i, x := range streams {
		lost[i] = x.Tale().Lost()
	}
	for _, n := range []int{40, 10, 240, 12} {
		s.router.apply(manyTables(n))
		s.router.inSync()
		tree := strings.Contains(s.router.Run("ip", "rule"), "goto")
		if tree != (n > 32) {
			t.Errorf("with %d tables: a tree: %v", n, tree)
		}
	}
	for i, x := range streams {
		tale, want := x.Stop(), "isp2"
		if i == 3 {
			want = "isp1"
		}
		if tale.By[want] != tale.Answered || tale.Lost() > lost[i] {
			t.Errorf("stream %d, by %s: %v", i, want, tale)
		}
	}
}

// First packets, too: each is classified and routed by the rules of that moment.
func TestFirstPacketsWhileTheTreeGrows(t *testing.T) {
	t.Parallel()
	s := trapNet(t, "")
	s.router.apply(manyTables(10))
	done := make(chan struct{})
	wrong := make(chan string, 1)
	go func() {
		defer close(wrong)
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			dst := netip.MustParseAddrPort(fmt.Sprintf("9.9.%d.9:%d", i%200, 7001+i%3))
			c, err := s.LANs["lan"].Dial("udp", netip.MustParseAddr("192.168.10.11"), dst, lab.DialOptions{})
			if err != nil {
				wrong <- err.Error()
				return
			}
			seen, err := c.Ask()
			c.Close()
			if err != nil || seen.By != "isp2" {
				wrong <- fmt.Sprintf("connection %d to %s: answered by %q, %v", i, dst, seen.By, err)
				return
			}
		}
	}()
	for _, n := range []int{40, 10, 40, 10} {
		s.router.apply(manyTables(n))
	}
	close(done)
	for w := range wrong {
		t.Error(w)
	}
}

// The text forms make the same tree as apply; what is taken out of it comes back.
func TestTextOfTheTree(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	// Few routes: a script runs ip(8) once for each.
	policy := strings.ReplaceAll(manyTables(34), `[{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]`,
		`[{ uplink = "isp2", dst = "10.0.0.0/8" }]`)
	textEqualsNetlink(r, policy)
	r.apply(policy)
	before := r.ours()
	for _, change := range []string{
		"rule del priority 10189", "rule del priority 10100", "rule add priority 10101 fwmark 0x1/0x1 goto 10990",
		"rule add priority 10150 goto 10900",
		"rule del priority 10189; rule add priority 10133 fwmark 0/0x10000000 goto 10990",
	} {
		for command := range strings.SplitSeq(change, "; ") {
			r.IP(command)
		}
		if res := r.pbr("diff"); res.Code != 2 {
			t.Errorf("after %s: diff: exit status %d", change, res.Code)
		}
		r.must("apply")
		if d := diffLines(before, r.ours()); d != "" {
			t.Errorf("after %s and apply:\n%s", change, d)
		}
	}
}
