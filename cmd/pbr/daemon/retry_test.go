package daemon

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// refuseStrict has the kernel refuse strictBoth for a reason, until it is nil.
func (b *bench) refuseStrict(why error) {
	b.kernel.do(func() {
		b.kernel.refuse = func(p *plan.Plan) error {
			if why != nil && isStrict(p) {
				return why
			}
			return nil
		}
	})
}

func isStrict(p *plan.Plan) bool {
	for _, r := range p.Routes {
		if r.Kind != plan.Unicast {
			return true
		}
	}
	return false
}

// reloads are how many reloads there were, and how many of them failed.
func (b *bench) reloads() (all, failed int) {
	n := b.w.Report().Numbers
	return n.Reloads, n.ReloadFailures
}

// wantReloads says how many reloads there must have been, and how many of them failed.
func (b *bench) wantReloads(when string, all, failed int) {
	b.t.Helper()
	if a, f := b.reloads(); a != all || f != failed {
		b.t.Errorf("%s: %d reloads, %d of them failed, not %d and %d", when, a, f, all, failed)
	}
}

// TestReloadIsTriedAgain: what the kernel refuses for a reason that may pass is tried again at
// growing intervals, and at once when the host has changed; log and report say so.
func TestReloadIsTriedAgain(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.refuseStrict(errKernel)
		b.reload(strictBoth)
		b.wantRoutes("refused", "both", "wan2 wan1")
		r := b.w.Report().Retry
		if r == nil || r.At == nil || time.Until(*r.At) > firstWait || !strings.Contains(r.Error, errKernel.Error()) {
			t.Fatalf("the report says %+v", r)
		}
		if log := b.log.String(); !strings.Contains(log, "the old policy stays in force") || !strings.Contains(log, "next_try=1s") {
			t.Errorf("the log does not say when it is tried again:\n%s", log)
		}
		sleep(firstWait + time.Second/2)
		b.wantReloads("after a second", 2, 2)
		sleep(10 * time.Minute)
		all, _ := b.reloads()
		if all < 12 || all > 18 {
			t.Errorf("%d tries in ten minutes", all)
		}
		b.refuseStrict(nil)
		sleep(maxWait + time.Second)
		b.wantRoutes("not refused any more", "both", "wan2 wan1 unreachable")
		all, _ = b.reloads()
		sleep(2 * maxWait)
		if n, _ := b.reloads(); n != all || b.w.Report().Retry != nil {
			t.Errorf("%d reloads after it is in force, %+v", n-all, b.w.Report().Retry)
		}
	})
}

// TestReloadFollowsTheHost: a change of the host is the best reason to try again, and a host that
// never stops changing does not keep the watch busy.
func TestReloadFollowsTheHost(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.refuseStrict(ErrMoved)
		b.reload(strictBoth)
		sleep(3 * time.Minute) // -- by now it waits for a minute
		before, _ := b.reloads()
		for i := range 50 {
			b.kernel.setLink("wan2", func(l *plan.Link) { l.Carrier = i%2 == 0 })
			b.events <- KernelEvent{Kind: HostChanged}
			sleep(100 * time.Millisecond)
		}
		if n, _ := b.reloads(); n-before < 2 || n-before > 6 {
			t.Errorf("%d tries in five seconds of changes", n-before)
		}
		sleep(3 * time.Minute)
		b.refuseStrict(nil)
		b.kernel.setLink("wan2", func(l *plan.Link) { l.Carrier = true })
		b.events <- KernelEvent{Kind: HostChanged}
		sleep(firstWait)
		b.wantRoutes("the host changed", "both", "wan2 wan1 unreachable")
	})
}

// TestReloadIsNotTriedAgain: what comes from the policy itself is final, and the log says what to
// do.
func TestReloadIsNotTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		refused error
	}{
		"a broken file":                           {"uplink = 7\n", nil},
		"a file without an uplink":                {"[pbr]\n", nil},
		"a policy that the kernel cannot hold":    {strictBoth, fmt.Errorf("%w: no value is free", ErrUnfit)},
		"a broken file after one that is refused": {"uplink = 7\n", errKernel},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, twoUplinks, func(t *testing.T, b *bench) {
				sleep(downTime)
				b.refuseStrict(c.refused)
				want := 1
				if c.refused != nil && c.text != strictBoth {
					b.reload(strictBoth)
					want++
				}
				b.reload(c.text)
				b.kernel.setLink("wan2", func(l *plan.Link) { l.Carrier = false })
				b.events <- KernelEvent{Kind: HostChanged}
				sleep(2 * maxWait)
				b.wantReloads("minutes later", want, want)
				if r := b.w.Report().Retry; r != nil {
					t.Errorf("the report says %+v", r)
				}
				if log := b.log.String(); !strings.Contains(log, "next_try=\"none: ") {
					t.Errorf("the log does not say that it is final:\n%s", log)
				}
			})
		})
	}
}

// TestReloadWithoutRoom: a reload that cannot be recorded comes into force when there is space.
func TestReloadWithoutRoom(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.kernel.do(func() { b.kernel.noRoom = errors.New("the disk is full") })
		b.reload(strings.Replace(twoUplinks, `name = "both"`,
			"name = \"other\"\nroutes = { uplink = \"isp1\" }\n[[table]]\nname = \"both\"", 1))
		if r := b.w.Report().Retry; r == nil || r.WaitsFor != waitsForSpace || r.At != nil {
			t.Errorf("the report says %+v", r)
		}
		sleep(2 * maxWait)
		b.wantReloads("without space", 1, 1)
		b.kernel.do(func() { b.kernel.noRoom = nil })
		sleep(2 * roomLook)
		b.wantRoutes("with space", "other", "wan1")
		b.wantReloads("with space", 2, 1)
	})
}

// TestReloadBesideLists: lists that come into force while the file is read do not make the reload
// fail for good.
func TestReloadBesideLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		lists := make(chan struct{})
		b.readLists = func(doc *policy.Document, _ []string) (*policy.Document, error) {
			<-lists
			next := *doc
			next.Lists = []policy.List{{Name: "fresh"}}
			return &next, nil
		}
		b.start()
		sleep(downTime)
		b.changed <- ListChange{}
		b.hang = make(chan struct{})
		b.reload(strictBoth)
		close(lists)
		synctest.Wait()
		if log := b.log.String(); !strings.Contains(log, "applied changed lists") {
			t.Fatalf("the lists are not in force:\n%s", log)
		}
		close(b.hang)
		sleep(2 * firstWait)
		b.wantRoutes("reloaded", "both", "wan2 wan1 unreachable")
		b.stop()
	})
}
