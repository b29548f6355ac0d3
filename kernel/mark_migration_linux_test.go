package kernel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"

	"pbr/compiler/plan"
)

// named is testPlan with the given marks' names.
func named(mask uint32, numbers map[string]uint32) *plan.Plan {
	s := share{mask: mask, base: 10000, table: 112000}
	for _, name := range []string{"isp1", "isp22", "isp23"} {
		if m, ok := numbers[name]; ok {
			s.marks = append(s.marks, m)
		}
	}
	p := testPlan(s)
	for i := range p.Numbers {
		for name, m := range numbers {
			if p.Numbers[i].Mark == m {
				p.Numbers[i].Name = name
			}
		}
	}
	return p
}

const oldMask, otherBits = 0x00ff0000, 0x0000a005

var (
	threeNames = map[string]uint32{"isp1": 0x010000, "isp22": 0x220000, "isp23": 0x230000}
	// uplinksOf name the connections by their source address.
	uplinksOf = map[string]string{"10.0.0.1": "isp1", "10.0.0.2": "isp22", "10.0.0.3": "isp23", "10.0.0.4": ""}
)

func newConntrack(t testing.TB) *conntrack.Conn {
	t.Helper()
	lib, err := conntrack.Dial(nil)
	must(t, err)
	t.Cleanup(func() { lib.Close() })
	return lib
}

// markThem makes one connection for each of three uplinks and an unmarked one, with bits of others.
func markThem(t *testing.T, lib *conntrack.Conn) {
	t.Helper()
	must(t, lib.Flush())
	port := uint16(1000)
	for src, name := range uplinksOf {
		f := conntrack.NewFlow(6, 0, netip.MustParseAddr(src), netip.MustParseAddr("8.8.8.8"), port, 443, 600, threeNames[name]|otherBits)
		f.ProtoInfo.TCP = &conntrack.ProtoInfoTCP{State: 3} // established
		must(t, lib.Create(f))
		port++
	}
}

// marksOf returns the marks of connections by the uplink that they are of.
func marksOf(t *testing.T, lib *conntrack.Conn) map[string]string {
	t.Helper()
	flows, err := lib.Dump(nil)
	must(t, err)
	out := map[string]string{}
	for _, f := range flows {
		out[uplinksOf[f.TupleOrig.IP.SourceAddress.String()]] = fmt.Sprintf("%08x", f.Mark)
	}
	return out
}

var remarkCases = []struct {
	name           string
	want           *plan.Plan
	marks          map[string]string
	cleared, moved int
}{
	{"isp22 goes, isp23 gets its number", named(oldMask, map[string]uint32{"isp1": 0x010000, "isp23": 0x220000}),
		map[string]string{"": "0000a005", "isp1": "0001a005", "isp22": "0000a005", "isp23": "0022a005"}, 1, 1},
	{"isp22 and isp23 change places", named(oldMask, map[string]uint32{"isp1": 0x010000, "isp22": 0x230000, "isp23": 0x220000}),
		map[string]string{"": "0000a005", "isp1": "0001a005", "isp22": "0023a005", "isp23": "0022a005"}, 0, 2},
	{"another mask", named(0xff000000, map[string]uint32{"isp1": 0x01000000, "isp23": 0x22000000}),
		map[string]string{"": "0000a005", "isp1": "0100a005", "isp22": "0000a005", "isp23": "2200a005"}, 1, 2},
	{"a mask that shares bits", named(0x0ff00000, map[string]uint32{"isp1": 0x02200000, "isp22": 0x00100000, "isp23": 0x0aa00000}),
		map[string]string{"": "0000a005", "isp1": "0220a005", "isp22": "0010a005", "isp23": "0aa0a005"}, 0, 3},
	{"nothing moves", named(oldMask, map[string]uint32{"isp1": 0x010000, "isp22": 0x220000, "isp23": 0x230000}),
		map[string]string{"": "0000a005", "isp1": "0001a005", "isp22": "0022a005", "isp23": "0023a005"}, 0, 0},
}

// TestConnectionsFollowTheirName: a connection stays with its uplink when that gets another mark,
// and with no other.
func TestConnectionsFollowTheirName(t *testing.T) {
	k := newKernel(t)
	lib := newConntrack(t)
	for _, tc := range remarkCases {
		apply(t, k, named(oldMask, threeNames))
		markThem(t, lib)
		r := apply(t, k, tc.want)
		if got := marksOf(t, lib); fmt.Sprint(got) != fmt.Sprint(tc.marks) {
			t.Errorf("%s: marks are %v, not %v", tc.name, got, tc.marks)
		}
		if r.Cleared != tc.cleared || r.Moved != tc.moved {
			t.Errorf("%s: %d cleared, %d moved", tc.name, r.Cleared, r.Moved)
		}
		holds(t, k, tc.want)
		must(t, lib.Flush())
	}
}

// stride is how many steps lie between two at which an apply is stopped or killed; where it begins
// is up to chance.
const stride = 5

// TestNoConnectionIsTakenForAnothers: at no step of an apply, nor after one that is stopped or
// killed there and the next one, has a connection the mark that is another uplink's by then.
func TestNoConnectionIsTakenForAnothers(t *testing.T) {
	k := newKernel(t)
	lib := newConntrack(t)
	old := named(oldMask, threeNames)
	for _, tc := range remarkCases[:3] {
		for n := 1 + rand.IntN(stride); ; n += stride {
			apply(t, k, old)
			markThem(t, lib)
			ctx, cancel := context.WithCancel(context.Background())
			left := n
			k.step = func(string) {
				if left--; left == 0 {
					cancel()
				}
			}
			_, err := k.Apply(ctx, tc.want)
			k.step = func(string) {}
			cancel()
			if err == nil {
				break
			}
			if got, want := marksOf(t, lib), remarkCases[4].marks; err != nil && fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s, stopped at step %d: marks are %v, not %v", tc.name, n, got, want)
			}
		}
		for n := rand.IntN(stride); ; n += stride {
			must(t, lib.Flush())
			apply(t, k, old)
			markThem(t, lib)
			k2 := open(t, filepath.Dir(k.dir))
			stopped := killAt(k2, n, func() { apply(t, k2, tc.want) })
			apply(t, k, tc.want)
			for name, mark := range marksOf(t, lib) {
				// One whose mark was to be another's while the plan came into force is known to the
				// killed process alone.
				if lost := fmt.Sprintf("%08x", otherBits); mark != tc.marks[name] && mark != lost {
					t.Errorf("%s, killed at step %d: %s has mark %s, not %s", tc.name, n, name, mark, tc.marks[name])
				}
			}
			if !stopped {
				break
			}
		}
		must(t, lib.Flush())
	}
}

// TestStickyClientsFollowTheirMember: clients that a map remembers get the new mark of their
// member, with the time that they had left; a client of a member that is gone, or unknown, is left
// alone.
func TestStickyClientsFollowTheirMember(t *testing.T) {
	k := newKernel(t)
	const clients = "balance-pool/clients-4"
	sticky := func(p *plan.Plan) *plan.Plan {
		p.Ruleset.Sets = append(p.Ruleset.Sets, plan.Set{Name: clients, Type: plan.TypeIPv4, Map: true, Data: plan.TypeMark,
			Dynamic: true, Size: 65536, Comment: "clients"})
		plan.Sort(p)
		return p
	}
	remembered := func() map[string]string {
		list, err := k.Remembered(clients)
		must(t, err)
		out := map[string]string{}
		for _, c := range list {
			if c.Timeout != time.Hour || c.Expires > 30*time.Minute || c.Expires < 20*time.Minute {
				t.Errorf("%+v is remembered for another time", c)
			}
			out[c.Addr.String()] = fmt.Sprintf("%08x", c.Mark)
		}
		return out
	}
	apply(t, k, sticky(named(oldMask, threeNames)))
	var elements []string
	for i, mark := range []uint32{threeNames["isp1"], threeNames["isp22"], threeNames["isp23"], 0x770000} {
		elements = append(elements, fmt.Sprintf("10.0.0.%d timeout 1h expires 30m : %#x", i+1, mark))
	}
	run(t, "nft add element inet pbr "+clients+" { "+strings.Join(elements, ", ")+" }")
	want := sticky(named(oldMask, map[string]uint32{"isp1": 0x410000, "isp22": 0x010000}))
	apply(t, k, want)
	for addr, mark := range map[string]string{"10.0.0.1": "00410000", "10.0.0.2": "00010000",
		"10.0.0.3": "00230000", "10.0.0.4": "00770000"} {
		if got := remembered()[addr]; got != mark {
			t.Errorf("%s has %s, not %s", addr, got, mark)
		}
	}
	holds(t, k, want)
}
