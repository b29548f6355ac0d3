package kernel

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pbr/integration/steps"
	"pbr/kernel/internal/fault"
)

// TestKilledEditLeavesConnections: what a killed apply has made of the table is nothing that
// somebody removed from it, so the next apply examines no connections. It does if somebody has
// emptied the table besides.
func TestKilledEditLeavesConnections(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	checked := "reverse-path = \"nft-strict\""
	for _, tc := range []struct{ name, old, next, drift string }{
		{"other numbers", strictText(0xff000000, "isp2", checked), strictText(0x0000ff00, "isp2", ""), ""},
		{"the same numbers", strictText(0xff000000, "isp2", checked), strictText(0xff000000, "isp2", ""), ""},
		{"somebody empties the table", strictText(0xff000000, "isp2", checked), strictText(0xff000000, "isp2", ""),
			"nft flush chain inet pbr prerouting"},
	} {
		here.Run(tc.name, func(t *testing.T) {
			apply(t, k, compileFor(t, k, tc.old))
			next := compileFor(t, k, tc.next)
			k2 := open(t, filepath.Dir(k.dir))
			if !killAfterTransaction(k2, func() { apply(t, k2, next) }) {
				t.Fatal("the apply was not killed")
			}
			if tc.drift != "" {
				run(t, tc.drift)
			}
			done := stepsOf(open(t, filepath.Dir(k.dir)), func(k3 *Kernel) { apply(t, k3, next) })
			if adopts := slices.Contains(done, "adopt connections"); adopts != (tc.drift != "") {
				t.Errorf("examines connections: %v; steps: %s", adopts, strings.Join(done, ", "))
			}
			holds(t, k, next)
			if j, err := readJournal(k.path(journalFile)); err != nil || j.Changing {
				t.Errorf("the journal says that the table is being changed: %v", err)
			}
		})
	}
}

// killAfterTransaction runs f until the first nftables transaction of an apply is in force.
func killAfterTransaction(k *Kernel, f func()) (stopped bool) {
	sent := false
	k.step = func(what string) { sent = sent || what == "nftables transaction" }
	fault.Set(func(what string) error {
		if sent && what == "before listing routes or rules" {
			panic(killed{})
		}
		return nil
	})
	defer func() {
		fault.Set(nil)
		_, stopped = recover().(killed)
	}()
	f()
	return false
}

// stepsOf lists the steps of an apply.
func stepsOf(k *Kernel, f func(*Kernel)) (done []string) {
	k.step = func(what string) { done = append(done, what) }
	f(k)
	return done
}
