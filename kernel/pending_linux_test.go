package kernel

import (
	"context"
	"strings"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

const tried = "sysctl -n net.ipv4.ip_forward net.ipv4.conf.w1.rp_filter net.ipv4.conf.w2.forwarding net.ipv4.conf.all.accept_redirects"

// TestRevertRestoresSettings goes from a policy with settings to one without, and the other way,
// and back.
func TestRevertRestoresSettings(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	bare := testPlan(planB)
	bare.Sysctls = nil
	without := run(t, tried)
	apply(t, k, testPlan(planA))
	with := run(t, tried)
	if with == without {
		t.Fatal("the plan changes no setting")
	}
	for _, way := range []struct {
		name       string
		from, to   *plan.Plan
		old, tried string
	}{
		{"to a plan without", testPlan(planA), bare, with, without},
		{"to a plan with", bare, testPlan(planA), without, with},
	} {
		here.Run(way.name, func(t *testing.T) {
			apply(t, k, way.from)
			before := everything(t)
			_, guard, err := k.setPending(t, way.to)
			must(t, err)
			defer guard.Close()
			apply(t, k, way.to)
			if got := run(t, tried); got != way.tried {
				t.Errorf("%s: settings are\n%s, not\n%s", way.name, got, way.tried)
			}
			_, err = k.Revert(context.Background())
			must(t, err)
			if got := run(t, tried); got != way.old {
				t.Errorf("%s, and back: settings are\n%s, not\n%s", way.name, got, way.old)
			}
			if after := everything(t); after != before {
				t.Errorf("%s, and back:\n%s\nbefore:\n%s", way.name, after, before)
			}
			holds(t, k, way.from)
		})
	}
	here.Run("flush restores what was before all", func(t *testing.T) {
		_, err := k.Flush(context.Background())
		must(t, err)
		if got := run(t, tried); got != without {
			t.Errorf("after flush settings are\n%s, not\n%s", got, without)
		}
	})
}

// setPending is SetPending under the lock.
func (k *Kernel) setPending(t *testing.T, want *plan.Plan) (*Pending, interface{ Close() error }, error) {
	t.Helper()
	unlock, err := k.Lock("apply")
	must(t, err)
	defer unlock()
	return k.SetPending(want, time.Minute)
}

// TestRevertWithoutAnInterface: what led over an interface that is gone, or down, is omitted, and
// the rest is restored.
func TestRevertWithoutAnInterface(t *testing.T) {
	for _, loss := range []string{"ip link del w2", "ip link set w2 down"} {
		t.Run(loss, func(t *testing.T) {
			k := newKernel(t)
			old := compile(t, k, twoUplinks+"[pbr]\nsysctl = true\n", nil)
			apply(t, k, old)
			_, guard, err := k.setPending(t, testPlan(planC))
			must(t, err)
			defer guard.Close()
			apply(t, k, testPlan(planC))
			run(t, loss)
			r, err := k.Revert(context.Background())
			must(t, err)
			if len(r.Warnings) == 0 || !strings.Contains(strings.Join(r.Warnings, " "), "w2") {
				t.Errorf("warnings: %q", r.Warnings)
			}
			have, err := k.Live(old)
			must(t, err)
			c := plan.Diff(have, old)
			for _, change := range c.Routes {
				if want := change.Want; want == nil || !overLink(want.Hops, "w2") {
					t.Errorf("%+v differs", change)
				}
			}
			for _, s := range c.Sysctls {
				if !strings.Contains(s.Path, "/w2/") {
					t.Errorf("%+v differs", s)
				}
			}
			if c.Routes, c.Sysctls = nil, nil; !c.Empty() {
				t.Errorf("differs: %+v", c)
			}
			if p, err := k.Pending(); p != nil || err != nil || k.HasPrevious() {
				t.Errorf("still pending: %+v, %v", p, err)
			}
		})
	}
}

func overLink(hops []plan.Hop, dev string) bool {
	for _, h := range hops {
		if h.Dev == dev {
			return true
		}
	}
	return false
}

// TestFailedRevertIsRemembered, and can be tried again.
func TestFailedRevertIsRemembered(t *testing.T) {
	k := newKernel(t)
	apply(t, k, testPlan(planA))
	before := everything(t)
	p, guard, err := k.setPending(t, testPlan(planC))
	must(t, err)
	if !p.Guarded || p.Left <= 0 || p.Left > time.Minute {
		t.Errorf("pending is %+v", p)
	}
	apply(t, k, testPlan(planC))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := k.Revert(ctx); err == nil {
		t.Fatal("a stopped revert succeeded")
	}
	if p, err = k.Pending(); err != nil || p == nil || !p.Guarded || !strings.Contains(p.Failure, "stopped before") {
		t.Fatalf("pending is %+v, %v", p, err)
	}
	must(t, guard.Close())
	if p, err = k.Pending(); err != nil || p == nil || p.Guarded {
		t.Fatalf("without a guard, pending is %+v, %v", p, err)
	}
	_, err = k.Revert(context.Background())
	must(t, err)
	if p, err = k.Pending(); err != nil || p != nil {
		t.Errorf("pending is %+v, %v", p, err)
	}
	if after := everything(t); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

// TestFlushRestoresFollowers: what the kernel overwrites along with forwarding gets back the value
// that it had, unless someone else has changed it since: then theirs stays.
func TestFlushRestoresFollowers(t *testing.T) {
	k := newKernel(t)
	for _, s := range []string{"ipv4.conf.w2.forwarding=1", "ipv4.conf.all.accept_redirects=0", "ipv6.conf.w1.forwarding=1"} {
		run(t, "sysctl -w net."+s)
	}
	all := func(t *testing.T) string { return run(t, "sysctl -a -r net\\.ipv[46]\\.(conf|ip_forward)") }
	before := all(t)
	p := testPlan(planA)
	p.Sysctls = append(p.Sysctls, plan.Sysctl{Path: "net/ipv6/conf/all/forwarding", Value: "1"})
	step := steps.InNamespace(t).Steps()
	step.Run("what follows forwarding gets its value back", func(t *testing.T) {
		apply(t, k, p)
		_, err := k.Flush(context.Background())
		must(t, err)
		if after := all(t); after != before {
			t.Errorf("after flush:\n%s", changedLines(before, after))
		}
	})
	step.Run("unless somebody changed it since", func(t *testing.T) {
		apply(t, k, p)
		run(t, "sysctl -w net.ipv4.conf.x1.forwarding=0")
		run(t, "sysctl -w net.ipv4.conf.w2.forwarding=0")
		_, err := k.Flush(context.Background())
		must(t, err)
		if got := changedLines(before, all(t)); got != "net.ipv4.conf.w2.forwarding = 0\n" {
			t.Errorf("others' changes and flush gave %q", got)
		}
	})
}

// changedLines are those of after that before has not.
func changedLines(before, after string) string {
	var out strings.Builder
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// An apply that failed gives its undo up only where the kernel is as it was before.
func TestFailedApplyKeepsItsUndoWhereSomethingChanged(t *testing.T) {
	k := newKernel(t)
	for _, from := range []*plan.Plan{nil, testPlan(planB)} {
		if from != nil {
			apply(t, k, from)
		}
		want := testPlan(planA)
		_, guard, err := k.setPending(t, want)
		must(t, err)
		if dropped, err := k.DropPending(want); err != nil || !dropped {
			t.Errorf("nothing was changed: dropped %v, %v", dropped, err)
		}
		must(t, guard.Close())
		_, guard, err = k.setPending(t, want)
		must(t, err)
		run(t, "ip rule add priority 10777 from 203.0.113.1 lookup 112001 protocol 112") // what an undo that failed left
		if dropped, err := k.DropPending(want); err != nil || dropped {
			t.Errorf("a rule is left: dropped %v, %v", dropped, err)
		}
		if p, err := k.Pending(); err != nil || p == nil {
			t.Errorf("the undo is given up: %v, %v", p, err)
		}
		_, err = k.Revert(context.Background())
		must(t, err)
		must(t, guard.Close())
		if left := run(t, "ip rule"); strings.Contains(left, "10777") {
			t.Errorf("the undo leaves\n%s", left)
		}
	}
}
