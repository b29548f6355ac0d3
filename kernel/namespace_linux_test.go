package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// run runs a program and returns what it prints.
func run(t testing.TB, command string) string {
	t.Helper()
	words := strings.Fields(command)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// newKernel moves the test into a network namespace of its own, with interfaces w1 and w2 and
// objects of others. The thread stays locked, so that it, and the namespace, end with the test.
func newKernel(t testing.TB) *Kernel {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace (needs root): %v", err)
	}
	for _, cmd := range []string{
		"ip link set lo up",
		"ip link add name w1 type veth peer name x1", "ip link add name w2 type veth peer name x2",
		// No link-local addresses: they appear late, by themselves.
		"ip link set w1 addrgenmode none", "ip link set x1 addrgenmode none", "ip link set w2 addrgenmode none",
		"ip link set x2 addrgenmode none",
		"ip address add 192.0.2.2/24 dev w1", "ip address add 198.51.100.2/24 dev w2",
		"ip address add 2001:db8:1::2/64 dev w1 nodad", "ip address add 2001:db8:2::2/64 dev w2 nodad",
		"ip link set w1 up", "ip link set x1 up", "ip link set w2 up", "ip link set x2 up",
		"ip rule add priority 9000 lookup 500", "ip rule add priority 11500 fwmark 0x1/0xff lookup 500",
		"ip -6 rule add priority 9000 lookup 500",
		"ip route add 10.0.0.0/8 via 192.0.2.1 table 500", "ip route add default via 192.0.2.1 metric 7",
		"nft add table inet foreign", "nft add chain inet foreign c { type filter hook prerouting priority 7 ; }",
		"nft add rule inet foreign c meta mark and 0xff == 1 accept",
	} {
		run(t, cmd)
	}
	// The kernel tells its parts of a carrier one after the other, on a loaded machine much later.
	for end := time.Now().Add(time.Minute); !strings.Contains(run(t, "ip -6 route show table all"), "dev x2") ||
		strings.Contains(everything(t), "linkdown"); {
		if time.Now().After(end) {
			t.Fatal("the links do not come up")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return open(t, t.TempDir())
}

func open(t testing.TB, dir string) *Kernel {
	t.Helper()
	k, err := Open(dir)
	must(t, err)
	t.Cleanup(func() { k.Close() })
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// everything prints all rules, routes and nftables of the namespace, by the tools' words.
func everything(t testing.TB) string {
	t.Helper()
	return run(t, "ip rule") + run(t, "ip -6 rule") + run(t, "ip route show table all") + run(t,
		"ip -6 route show table all") + run(t, "nft list ruleset")
}

// share is what a test's plan takes.
type share struct {
	mask, base, table uint32
	marks             []uint32
}

// testPlan makes a plan with a table per mark: default routes of both families with an unreachable
// one behind, and rules and a chain that steer by the mark.
func testPlan(s share) *plan.Plan {
	p := &plan.Plan{Mask: s.mask, BasePriority: s.base}
	chain := plan.Chain{Name: "pre", Kind: "filter", Hook: "prerouting", Priority: -150}
	for i, mark := range s.marks {
		table := s.table + uint32(i)
		name := fmt.Sprintf("t%d", i)
		p.Numbers = append(p.Numbers, plan.Number{Name: fmt.Sprintf("m%x", mark), Table: table, Mark: mark})
		for _, f := range plan.Families {
			gateway, all := "192.0.2.1", "0.0.0.0/0"
			if f == plan.IPv6 {
				gateway, all = "fe80::1", "::/0"
			}
			p.Rules = append(p.Rules, plan.Rule{Family: f, Priority: s.base + uint32(i), Mark: mark, MarkMask: s.mask,
				Action: plan.ActLookup, Table: table, Protocol: plan.Protocol})
			r := plan.Route{Table: table, Family: f, Dst: netip.MustParsePrefix(all), Metric: 1, Kind: plan.Unicast,
				Protocol: plan.Protocol,
				Hops:     []plan.Hop{{Dev: "w1", Via: netip.MustParseAddr(gateway), Weight: 1}}}
			p.Routes = append(p.Routes, r)
			r.Metric, r.Kind, r.Hops = 65535, plan.Unreachable, nil
			p.Routes = append(p.Routes, r)
		}
		p.Ruleset.Counters = append(p.Ruleset.Counters, plan.Counter{Name: "c_" + name})
		src := plan.KeyFromAddr(netip.AddrFrom4([4]byte{10, 0, 0, byte(mark >> 24)}))
		chain.Rules = append(chain.Rules, plan.ChainRule{
			Matches: []plan.Match{{Field: plan.FieldIPSAddr, From: src, To: src}},
			Actions: []plan.Action{plan.Count{Counter: "c_" + name}, plan.SetMark{Mask: s.mask, Value: mark}},
			Comment: name,
		})
	}
	p.Ruleset.Chains = []plan.Chain{chain}
	p.Sysctls = []plan.Sysctl{{Path: "net/ipv4/conf/w1/rp_filter", Value: "2"}, {Path: "net/ipv4/ip_forward", Value: "1"}}
	plan.Normalize(p)
	return p
}

// holds fails unless the namespace holds the plan, and applying it again does nothing.
func holds(t testing.TB, k *Kernel, want *plan.Plan) {
	t.Helper()
	have, err := k.Live(want)
	must(t, err)
	if c := plan.Diff(have, want); !c.Empty() {
		t.Fatalf("differs: %+v", c)
	}
	before, err := k.nft.Generation()
	must(t, err)
	k.step = func(what string) { t.Errorf("a second apply does: %s", what) }
	defer func() { k.step = func(string) {} }()
	report, err := k.Apply(context.Background(), want)
	must(t, err)
	if after, _ := k.nft.Generation(); !report.Empty() || after != before {
		t.Errorf("a second apply did %+v, generation %d to %d", report, before, after)
	}
}

func apply(t testing.TB, k *Kernel, want *plan.Plan) *Report {
	t.Helper()
	r, err := k.Apply(context.Background(), want)
	must(t, err)
	if len(r.Warnings) > 0 {
		t.Errorf("warnings: %q", r.Warnings)
	}
	return r
}

var (
	planA = share{mask: 0xff000000, base: 10000, table: 112000, marks: []uint32{0x01000000, 0x02000000}}
	// planB shares a table, a mark and priorities with planA.
	planB = share{mask: 0xff000000, base: 10000, table: 112001, marks: []uint32{0x02000000, 0x03000000}}
	// planC shares nothing with planA.
	planC = share{mask: 0x00ff0000, base: 20000, table: 113000, marks: []uint32{0x00010000, 0x00020000, 0x00030000}}
)
