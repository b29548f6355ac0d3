package kernel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/integration/steps"
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

var (
	planA = share{mask: 0xff000000, base: 10000, table: 112000, marks: []uint32{0x01000000, 0x02000000}}
	// planB shares a table, a mark and priorities with planA.
	planB = share{mask: 0xff000000, base: 10000, table: 112001, marks: []uint32{0x02000000, 0x03000000}}
	// planC shares nothing with planA.
	planC = share{mask: 0x00ff0000, base: 20000, table: 113000, marks: []uint32{0x00010000, 0x00020000, 0x00030000}}
)

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

func TestApplyDiffFlush(t *testing.T) {
	k := newKernel(t)
	before := everything(t)
	forward := run(t, "sysctl -n net.ipv4.ip_forward net.ipv4.conf.w1.rp_filter")
	step := steps.InNamespace(t).Steps()
	step.Run("each plan is held, and reported", func(t *testing.T) {
		for _, s := range []share{planA, planB, planC, planA} {
			r := apply(t, k, testPlan(s))
			if r.Empty() {
				t.Error("an apply that changed something reports nothing")
			}
			holds(t, k, testPlan(s))
		}
	})
	step.Run("nothing of an earlier plan is left", func(t *testing.T) {
		if strings.Contains(everything(t), "113000") || strings.Contains(everything(t), "20000:") {
			t.Error("something of an earlier plan is left")
		}
	})
	step.Run("flush leaves everything as it was", func(t *testing.T) {
		r, err := k.Flush(context.Background())
		must(t, err)
		if r.Empty() {
			t.Error("a flush that removed something reports nothing")
		}
		if after := everything(t); after != before {
			t.Errorf("after flush:\n%s\nbefore:\n%s", after, before)
		}
		if after := run(t, "sysctl -n net.ipv4.ip_forward net.ipv4.conf.w1.rp_filter"); after != forward {
			t.Errorf("settings are %q, were %q", after, forward)
		}
	})
	step.Run("a second flush does nothing", func(t *testing.T) {
		if r, err := k.Flush(context.Background()); err != nil || !r.Empty() {
			t.Errorf("a second flush: %+v, %v", r, err)
		}
	})
}

// killed is what a test's step hook panics with, in place of SIGKILL: nothing of Apply runs after
// it but the closing of the lock, which the kernel does for a killed process too.
type killed struct{}

// killAt runs f until before its nth step, and reports whether there was one.
func killAt(k *Kernel, n int, f func()) (stopped bool) {
	k.step = func(string) {
		if n == 0 {
			panic(killed{})
		}
		n--
	}
	defer func() {
		k.step = func(string) {}
		if e := recover(); e != nil {
			if _, ok := e.(killed); !ok {
				panic(e)
			}
			stopped = true
		}
	}()
	f()
	return false
}

// TestKilledApply kills an apply before every second of its steps; the next apply, of this
// plan or another, has to put everything right, and a flush to leave nothing.
func TestKilledApply(t *testing.T) {
	k := newKernel(t)
	before := everything(t)
	for _, way := range []struct{ from, to, next share }{
		{planA, planB, planB}, {planC, planA, planA}, {planA, planC, planB},
	} {
		for n := rand.IntN(2); ; n += 2 { // now the even steps, now the odd ones
			apply(t, k, testPlan(way.from))
			k2 := open(t, strings.TrimSuffix(k.dir, "/"+lastElement(k.dir)))
			stopped := killAt(k2, n, func() { apply(t, k2, testPlan(way.to)) })
			apply(t, k, testPlan(way.next))
			holds(t, k, testPlan(way.next))
			if !stopped {
				if n < 5 {
					t.Errorf("only %d steps", n)
				}
				break
			}
		}
	}
	for n := rand.IntN(2); ; n += 2 {
		apply(t, k, testPlan(planA))
		stopped := killAt(k, n, func() { _, _ = k.Flush(context.Background()) })
		_, err := k.Flush(context.Background())
		must(t, err)
		if after := everything(t); after != before {
			t.Fatalf("after flush killed at step %d:\n%s\nbefore:\n%s", n, after, before)
		}
		if !stopped {
			break
		}
	}
}

func lastElement(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// TestStoppedApplyIsUndone cancels an apply before each of its steps; each time everything has to
// be as before.
func TestStoppedApplyIsUndone(t *testing.T) {
	k := newKernel(t)
	apply(t, k, testPlan(planA))
	before := everything(t)
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancel(context.Background())
		left := n
		k.step = func(string) {
			if left--; left == 0 {
				cancel()
			}
		}
		_, err := k.Apply(ctx, testPlan(planB))
		k.step = func(string) {}
		cancel()
		if err == nil {
			if n < 10 {
				t.Errorf("only %d steps", n)
			}
			break
		}
		var failed *ApplyError
		if !errors.As(err, &failed) || failed.Undo != nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped after %d steps: %v", n, err)
		}
		if after := everything(t); after != before {
			t.Fatalf("stopped after %d steps:\n%s\nbefore:\n%s", n, after, before)
		}
	}
	holds(t, k, testPlan(planB))
}

// TestFailedApplyIsUndone lets each part of an apply fail; everything has to be as before.
func TestFailedApplyIsUndone(t *testing.T) {
	for name, spoil := range map[string]func(*plan.Plan){
		"interface absent0": func(p *plan.Plan) { p.Routes[len(p.Routes)-2].Hops = []plan.Hop{{Dev: "absent0", Weight: 1}} },
		"invalid argument": func(p *plan.Plan) {
			p.Rules[len(p.Rules)-1].TOS = 0xff // no such traffic class
			p.Rules[len(p.Rules)-1].Table = 0
		},
		"operation not supported": func(p *plan.Plan) { p.Ruleset.Chains[0].Kind = "route" }, // the kernel has those in output alone
		"setting sysctl": func(p *plan.Plan) {
			p.Sysctls = append(p.Sysctls, plan.Sysctl{Path: "net/ipv4/conf/zz/rp_filter", Value: "2"})
		},
	} {
		for _, from := range []*share{nil, &planA} {
			t.Run(fmt.Sprint(name, " ", from != nil), func(t *testing.T) {
				k := newKernel(t)
				if from != nil {
					apply(t, k, testPlan(*from))
				}
				before := everything(t)
				settings := run(t, "sysctl -n net.ipv4.ip_forward net.ipv4.conf.w1.rp_filter")
				want := testPlan(planC)
				spoil(want)
				_, err := k.Apply(context.Background(), want)
				var failed *ApplyError
				if !errors.As(err, &failed) || failed.Undo != nil || !strings.Contains(err.Error(), name) {
					t.Fatalf("got %v", err)
				}
				if after := everything(t); after != before {
					t.Errorf("after:\n%s\nbefore:\n%s", after, before)
				}
				if after := run(t, "sysctl -n net.ipv4.ip_forward net.ipv4.conf.w1.rp_filter"); after != settings {
					t.Errorf("settings are %q, were %q", after, settings)
				}
				apply(t, k, testPlan(planB))
				holds(t, k, testPlan(planB))
			})
		}
	}
}

// TestDriftIsRepaired breaks pbr's objects from outside.
func TestDriftIsRepaired(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	want := testPlan(planA)
	apply(t, k, want)
	for _, cmd := range []string{
		"ip rule del priority 10000", "ip rule add priority 10500 lookup 500",
		"ip route del default table 112000", "ip route replace default via 198.51.100.1 table 112001 metric 1",
		"ip route append default via 192.0.2.77 metric 65535 table 112001", "ip route add 10.0.0.0/8 via 192.0.2.1 table 112001",
		"ip -6 route flush table 112001", "nft add rule inet pbr pre counter", "nft delete table inet pbr", "nft add table inet pbr",
		"nft add chain inet pbr more", "sysctl -w net.ipv4.ip_forward=0", "ip link set w1 down",
	} {
		here.Run(cmd, func(t *testing.T) {
			run(t, cmd)
			if cmd == "ip link set w1 down" {
				run(t, "ip link set w1 up")
			}
			apply(t, k, want)
			holds(t, k, want)
		})
	}
}

func TestConflictsAreRefused(t *testing.T) {
	for cmd, text := range map[string]string{
		"ip rule add priority 10500 lookup 500": "ip rule priorities 10000-10999: " +
			"in use by others (ip -4 rule 10500): choose another rule-priority",
		"ip -6 route add default via fe80::1 dev w1 table 112001":    "routing table 112001: has routes of others: choose another id",
		"ip rule add priority 10000 fwmark 0x1/0x1 lookup 112000":    "ip rule priorities 10000-10999: in use by others (ip -4 rule 10000)",
		"ip route add 10.0.0.0/8 via 192.0.2.1 table 112000 proto 3": "routing table 112000: has routes of others",
	} {
		t.Run(cmd, func(t *testing.T) {
			k := newKernel(t)
			apply(t, k, testPlan(planC)) // what is ours elsewhere makes the others' no less theirs
			run(t, cmd)
			before := everything(t)
			_, err := k.Apply(context.Background(), testPlan(planA))
			var conflict *ConflictError
			if !errors.As(err, &conflict) || !strings.Contains(err.Error(), text) {
				t.Fatalf("got %v, wanted %q", err, text)
			}
			if after := everything(t); after != before {
				t.Errorf("after:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

func TestPlanForNoMachineIsRefused(t *testing.T) {
	k := newKernel(t)
	auto, dynamic := testPlan(planA), testPlan(planA)
	auto.Routes[0].Hops = []plan.Hop{{Dev: "w1", Auto: true, Weight: 1}}
	dynamic.Dynamic = []plan.Dynamic{{Kind: plan.SourceRules}}
	for _, p := range []*plan.Plan{auto, dynamic} {
		k.step = func(what string) { t.Errorf("did %s", what) }
		if _, err := k.Apply(context.Background(), p); err == nil || !strings.Contains(err.Error(), "compiled without host facts") {
			t.Errorf("got %v", err)
		}
	}
}

func TestLock(t *testing.T) {
	k := newKernel(t)
	unlock, err := k.Lock("apply --confirm")
	must(t, err)
	apply(t, k, testPlan(planA)) // the holder may
	other := open(t, strings.TrimSuffix(k.dir, "/"+lastElement(k.dir)))
	_, err = other.Apply(context.Background(), testPlan(planA))
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Doing != "apply --confirm" {
		t.Fatalf("got %v", err)
	}
	unlock()
	apply(t, other, testPlan(planA))
}

func TestPreviousIsRestored(t *testing.T) {
	k := newKernel(t)
	if _, err := k.Restore(context.Background()); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("nothing saved: %v", err)
	}
	nothing := everything(t)
	settings := run(t, "sysctl -n net.ipv4.ip_forward net.ipv4.conf.w1.rp_filter")
	save := func(want *plan.Plan) {
		have, err := k.Live(want)
		must(t, err)
		must(t, k.SavePrevious(have))
		apply(t, k, want)
	}
	restore := func() {
		if !k.HasPrevious() {
			t.Error("no previous state")
		}
		_, err := k.Restore(context.Background())
		must(t, err)
		if k.HasPrevious() {
			t.Error("a restored state is still there")
		}
	}
	save(testPlan(planA))
	restore()
	if after := everything(t); after != nothing {
		t.Errorf("after:\n%s\nbefore:\n%s", after, nothing)
	}
	bare := testPlan(planA)
	bare.Sysctls = nil
	apply(t, k, bare)
	before := everything(t)
	save(testPlan(planC))
	restore()
	if after := everything(t); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
	if after := run(t, "sysctl -n net.ipv4.ip_forward net.ipv4.conf.w1.rp_filter"); after != settings {
		t.Errorf("settings are %q, were %q", after, settings)
	}
	holds(t, k, bare)
}

// TestUnprivileged drops CAP_NET_ADMIN, on this thread alone, which ends with the test.
func TestUnprivileged(t *testing.T) {
	k := newKernel(t)
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	must(t, unix.Capget(&hdr, &data[0]))
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	must(t, unix.Capset(&hdr, &data[0]))
	_, err := k.Apply(context.Background(), testPlan(planA))
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("apply: %v", err)
	}
	if _, err = k.Flush(context.Background()); !errors.Is(err, unix.EPERM) {
		t.Errorf("flush: %v", err)
	}
	if _, err := os.Stat(k.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a state directory was made: %v", err)
	}
}

// TestMarksAreCleared checks which bits of which connections' marks a changed plan and a flush
// remove.
func TestMarksAreCleared(t *testing.T) {
	k := newKernel(t)
	apply(t, k, testPlan(planA))
	for i, mark := range []uint32{0x01000007, 0x02000007, 0x05000007, 0x00000007, 0x01010007} {
		run(t, fmt.Sprintf("conntrack -I -p udp -s 192.0.2.2 -d 192.0.2.9 --sport %d --dport 53 --timeout 100 --mark %d", i+1, mark))
	}
	run(t, "conntrack -I -p tcp -s 2001:db8:1::2 -d 2001:db8:1::9 --sport 6 --dport 53 --state ESTABLISHED --timeout 100 --mark 16777223")
	run(t, "conntrack -I -p icmp -s 192.0.2.2 -d 192.0.2.9 --icmp-type 8 --icmp-code 0 --icmp-id 7 --timeout 100 --mark 16777223")
	marks := func() (out []string) {
		for _, f := range []string{"ipv4", "ipv6"} {
			for line := range strings.Lines(run(t, "conntrack -L -f "+f)) {
				if at := strings.Index(line, "mark="); at >= 0 {
					var mark uint32
					fmt.Sscanf(line[at:], "mark=%d", &mark)
					out = append(out, fmt.Sprintf("%08x", mark))
				}
			}
		}
		slices.Sort(out)
		return out
	}
	if got := marks(); len(got) != 7 {
		t.Fatalf("made %v", got)
	}
	if r := apply(t, k, testPlan(planB)); r.Cleared != 4 {
		t.Errorf("cleared %d marks, not 4", r.Cleared)
	}
	if got, want := marks(), []string{"00000007", "00000007", "00000007", "00000007", "00010007", "02000007",
		"05000007"}; !slices.Equal(got, want) {
		t.Errorf("after mark 1 is gone: %v, not %v", got, want)
	}
	holds(t, k, testPlan(planB))
	_, err := k.Flush(context.Background())
	must(t, err)
	if got, want := marks(), []string{"00000007", "00000007", "00000007", "00000007", "00000007", "00010007",
		"05000007"}; !slices.Equal(got, want) {
		t.Errorf("after flush: %v, not %v", got, want)
	}
}
