package kernel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

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
	return killWhen(k, func(string) bool { n--; return n < 0 }, f)
}

// killWhen runs f until before the first step that now says is the one, and reports whether there
// was one.
func killWhen(k *Kernel, now func(what string) bool, f func()) (stopped bool) {
	k.step = func(what string) {
		if now(what) {
			panic(killed{})
		}
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
