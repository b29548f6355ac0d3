package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/integration/steps"
	"pbr/kernel/state"
)

// conflicting fails the test unless the plan is refused for what others have, and nothing is
// changed.
func conflicting(t *testing.T, k *Kernel, s share) {
	t.Helper()
	before := everything(t)
	_, err := k.Apply(context.Background(), testPlan(s))
	var conflict *ConflictError
	if !errors.As(err, &conflict) {
		t.Fatalf("not refused: %v", err)
	}
	if after := everything(t); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

// A span of priorities that only partly was ours is not ours as a whole because of a rule of ours
// in it.
func TestForeignRuleInTheNewPartOfASpan(t *testing.T) {
	k := newKernel(t)
	old := planA
	old.base = 10500
	moved := planA
	moved.base = 10000 // holds the rules of old, from 10500 on
	apply(t, k, testPlan(old))
	run(t, "ip rule add priority 10200 from 172.31.0.0/16 lookup 500")
	conflicting(t, k, moved)
	run(t, "ip rule del priority 10200")
	run(t, "ip rule add priority 10700 from 172.31.0.0/16 lookup 500") // in what is ours: a foreign edit
	apply(t, k, testPlan(moved))
	if strings.Contains(run(t, "ip rule"), "172.31.0.0") {
		t.Error("a rule that someone else put among ours is still there")
	}
	run(t, "ip rule add priority 11200 from 172.31.0.0/16 lookup 500") // not ours any more
	conflicting(t, k, old)
}

// What a plan was to own that never came into force is nobody's leave to delete what others put
// there.
func TestForeignObjectsAfterAFailedApply(t *testing.T) {
	for _, cmd := range []string{
		"ip rule add priority 10050 from 172.31.0.0/16 lookup 500",
		"ip route add 10.0.0.0/8 via 192.0.2.1 table 112001",
	} {
		t.Run("undone, "+cmd, func(t *testing.T) {
			k := newKernel(t)
			failing := testPlan(planA)
			failing.Ruleset.Chains[0].Kind = "route" // the kernel has those in output alone
			if _, err := k.Apply(context.Background(), failing); err == nil {
				t.Fatal("the plan was applied")
			}
			if _, err := os.Stat(k.path(journalFile)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("there is a journal: %v", err)
			}
			run(t, cmd)
			conflicting(t, k, planA)
		})
		t.Run("killed, "+cmd, func(t *testing.T) {
			k := newKernel(t)
			for n := 2; ; n += 3 {
				k = open(t, filepath.Dir(k.dir))
				if !killAt(k, n, func() { apply(t, k, testPlan(planA)) }) {
					break
				}
				if n > 6 {
					continue // far enough to have rules and routes in place
				}
				run(t, cmd)
				k2 := open(t, filepath.Dir(k.dir))
				conflicting(t, k2, planA)
				run(t, strings.Replace(cmd, "add", "del", 1))
				_, err := k2.Flush(context.Background())
				must(t, err)
			}
		})
	}
}

// TestDamagedJournal: it counts as missing. apply goes on with what the kernel shows, touches no
// connection with the policy's own marks, and deletes those whose marks another policy gave. flush
// removes what bears our number and name.
func TestDamagedJournal(t *testing.T) {
	k, c := newKernel(t), newConntrack(t)
	before := everything(t)
	for _, tc := range []struct {
		content   string
		old, next share
		left      int
	}{
		{"", planA, planA, 2}, {`{"owned":[{"ma`, planA, planA, 2}, {"\x00\x00\x00\x00", planA, planC, 0},
	} {
		steps.InNamespace(t).Run(fmt.Sprintf("%q", tc.content), func(t *testing.T) {
			old, next := testPlan(tc.old), testPlan(tc.next)
			apply(t, k, old)
			connectionsOf(t, c, old)
			must(t, os.WriteFile(k.path(journalFile), []byte(tc.content), 0o600))
			if err := k.DamagedJournal(); err == nil || !strings.Contains(err.Error(), k.path(journalFile)) {
				t.Errorf("the damage is not known: %v", err)
			}
			holdsByLook(t, k, old)
			r, err := k.Apply(context.Background(), next)
			must(t, err)
			if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "is now "+k.path("journal.json.damaged")+":") || r.Flushed > 0 {
				t.Errorf("flushed %d, warnings: %q", r.Flushed, r.Warnings)
			}
			if aside, err := os.ReadFile(k.path(journalFile + damagedSuffix)); err != nil || string(aside) != tc.content {
				t.Errorf("set aside: %q, %v", aside, err)
			}
			if flows, err := c.Dump(nil); err != nil || len(flows) != tc.left*len(old.Numbers)-tc.left*unmarkedOf(old) {
				t.Errorf("%d connections: %v", len(flows), err)
			}
			holds(t, k, next)
			run(t, "ip rule add priority 10600 from 172.31.0.0/16 lookup 500")
			must(t, os.WriteFile(k.path(journalFile), []byte(tc.content), 0o600))
			r, err = k.Flush(context.Background())
			must(t, err)
			if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "sysctl") {
				t.Errorf("flush warns: %q", r.Warnings)
			}
			run(t, "ip rule del priority 10600") // others' is still there
			if after := everything(t); after != before {
				t.Errorf("after flush:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// unmarkedOf counts a plan's numbers without a mark.
func unmarkedOf(p *plan.Plan) (n int) {
	for _, x := range p.Numbers {
		if x.Mark == 0 {
			n++
		}
	}
	return n
}

// holdsByLook fails the test if a look finds a difference.
func holdsByLook(t *testing.T, k *Kernel, want *plan.Plan) {
	t.Helper()
	have, err := k.Live(want)
	must(t, err)
	if d := plan.Diff(have, want); !d.Empty() {
		t.Errorf("differs: %+v", d)
	}
}

// TestDirectoryForJournal: the message has the command.
func TestDirectoryForJournal(t *testing.T) {
	file := filepath.Join(t.TempDir(), journalFile)
	must(t, os.Mkdir(file, 0o700))
	if _, err := readJournal(file); err == nil || !strings.Contains(err.Error(), "rm -r "+file) {
		t.Errorf("got %v", err)
	}
}

// TestStateFilesGo: nothing stays of a flush, of a command that did nothing, and of what a killed
// run had half written.
func TestStateFilesGo(t *testing.T) {
	k := newKernel(t)
	top := filepath.Dir(k.dir)
	unlock, err := k.Lock("confirm")
	must(t, err)
	unlock()
	if left, _ := os.ReadDir(top); len(left) != 0 {
		t.Errorf("a lock leaves %v", left)
	}
	apply(t, k, testPlan(planA))
	must(t, os.WriteFile(k.path(journalFile)+state.TempSuffix, []byte("{"), 0o600))
	apply(t, k, testPlan(planB))
	must(t, os.WriteFile(k.path("previous.json")+state.TempSuffix, []byte("{"), 0o600))
	_, err = k.Flush(context.Background())
	must(t, err)
	if left, _ := os.ReadDir(top); len(left) != 0 {
		inside, _ := os.ReadDir(k.dir)
		t.Errorf("a flush leaves %v with %v", left, inside)
	}
}

// TestDeadStatesArePruned: empty directories of other network namespaces go, unless they are young,
// in use, or not empty.
func TestDeadStatesArePruned(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	top := filepath.Dir(k.dir)
	long := time.Now().Add(-2 * pruneAge)
	var used *Kernel
	for _, name := range []string{"net-dead", "net-young", "net-used", "net-full"} {
		dir := filepath.Join(top, name)
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, lockFile), nil, 0o644))
		switch name {
		case "net-full":
			must(t, os.WriteFile(filepath.Join(dir, journalFile), []byte("{}"), 0o600))
		case "net-used":
			used = &Kernel{dir: dir}
			f, err := used.takeLock()
			must(t, err)
			defer f.Close()
		}
		if name != "net-young" {
			must(t, os.Chtimes(dir, long, long))
		}
	}
	apply(t, k, testPlan(planA))
	for name, stays := range map[string]bool{"net-dead": false, "net-young": true, "net-used": true, "net-full": true} {
		here.Run(name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(top, name)); (err == nil) != stays {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
