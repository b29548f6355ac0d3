package kernel

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/internal/fault"
)

// longPolicy is faultless, with a list of n addresses from the given one on, or of networks.
func longPolicy(first, n int, suffix string) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "\"10.%d.%d.%d%s\", ", i>>14&255, i>>6&255, i<<2&255, suffix)
	}
	return movedPolicy + "[lists]\nmany = [" + b.String() + "]\n[[policy]]\nname = \"many\"\ndst = \"@many\"\nuplink = \"isp2\"\n"
}

// compileDown is compileFor with isp1 down.
func compileDown(t *testing.T, k *Kernel, text string) *plan.Plan {
	t.Helper()
	doc, _ := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	m, err := k.HostFacts(compiler.Needs(doc))
	must(t, err)
	p, ds := compiler.Compile(doc, m, compiler.Down(map[string]int{"isp1": 1}))
	if p == nil {
		t.Fatal(ds)
	}
	return p
}

// TestStage prepares long lists bit by bit: new ones, of addresses and of networks, and others in
// the place of those that are there. Meanwhile the uplinks' health changes, and the kernel holds
// what that takes; in the end it holds the new policy.
func TestStage(t *testing.T) {
	k := newKernel(t)
	const n = 30_000
	before := movedPolicy
	apply(t, k, compileFor(t, k, before))
	for _, next := range []string{longPolicy(0, n, ""), longPolicy(n, n, ""), longPolicy(0, n, "/31"),
		longPolicy(n-5, n, "/31"), movedPolicy} {
		up, down, want := compileFor(t, k, before), compileDown(t, k, before), compileFor(t, k, next)
		calls, isDown := 0, false
		must(t, k.Stage(t.Context(), want, func() {
			isDown = !isDown
			calls++
			p := up
			if isDown {
				p = down
			}
			if _, err := k.Update(context.Background(), p); err != nil {
				t.Fatal(err)
			}
			if calls < 3 { // the kernel's own words are slow for long lists
				holds(t, k, p)
			}
		}))
		if long := strings.Contains(next, "@many"); long != (calls > 2) {
			t.Errorf("%d parts", calls)
		}
		apply(t, k, want)
		must(t, k.Unstage())
		holds(t, k, want)
		before = next
	}
}

// TestStageThatIsNotTakenOver leaves nothing: what was prepared is no part of the table, and goes.
func TestStageThatIsNotTakenOver(t *testing.T) {
	k := newKernel(t)
	have, want := compileFor(t, k, movedPolicy), compileFor(t, k, longPolicy(0, 30_000, ""))
	apply(t, k, have)
	state := faultState(t)
	stopped, stop := context.WithCancel(t.Context())
	calls := 0
	err := k.Stage(stopped, want, func() {
		if calls++; calls == 3 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || calls != 3 {
		t.Errorf("%d parts: %v", calls, err)
	}
	must(t, k.Unstage())
	if now := faultState(t); now != state {
		t.Errorf("left:\n%s\nbefore:\n%s", now, state)
	}
	apply(t, k, have)

	// One that is cut off, as by a kill: the next process puts it right.
	apply(t, k, have)
	calls = 0
	stopped, stop = context.WithCancel(t.Context())
	_ = k.Stage(stopped, want, func() {
		if calls++; calls == 3 {
			stop()
		}
	})
	apply(t, open(t, filepath.Dir(k.Dir())), have)
	if now := faultState(t); now != state {
		t.Errorf("left by one that was cut off:\n%s\nbefore:\n%s", now, state)
	}
	if calls != 3 {
		t.Errorf("%d parts", calls)
	}
	must(t, k.Unstage())

	// Others change nftables meanwhile.
	apply(t, k, have)
	must(t, k.Stage(t.Context(), want, func() { run(t, "nft add chain inet foreign c2") }))
	apply(t, k, want)
	holds(t, k, want)
}

// TestFaultsAroundStage lets each transaction that takes over what was prepared fail.
func TestFaultsAroundStage(t *testing.T) {
	k := newKernel(t)
	have, want := compileFor(t, k, longPolicy(20_000, 25_000, "")), compileFor(t, k, longPolicy(0, 25_000, ""))
	apply(t, k, have)
	for nth := 1; nth < 12; nth++ {
		must(t, k.Stage(t.Context(), want, func() {}))
		left := nth
		fault.Set(func(what string) error {
			if strings.Contains(what, "nftables transaction") {
				if left--; left == 0 {
					return errInjected
				}
			}
			return nil
		})
		_, err := k.Apply(t.Context(), want)
		fault.Set(nil)
		must(t, k.Unstage())
		var failed *ApplyError
		switch {
		case err == nil:
			holds(t, k, want)
			if left > 0 {
				return // there are no more
			}
			apply(t, k, have)
		case errors.As(err, &failed) && failed.Undo != nil:
			t.Errorf("transaction %d: %v", nth, err)
		default:
			holds(t, k, have)
		}
	}
}
