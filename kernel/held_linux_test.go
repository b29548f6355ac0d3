package kernel

import (
	"context"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

// TestApplyOfTheSamePlan: a Kernel that applies the plan that it applied last looks only whether
// anything has changed, finds what somebody else did in between, and compares everything once an
// hour.
func TestApplyOfTheSamePlan(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	want := compile(t, k, twoUplinks, nil)
	apply := func(t *testing.T) *Report {
		t.Helper()
		r, err := k.Apply(context.Background(), want)
		must(t, err)
		return r
	}
	if r := apply(t); r.Empty() {
		t.Error("the first apply did nothing")
	}
	apply(t) // connections were examined meanwhile
	same := func(t *testing.T, when string) {
		t.Helper()
		before := k.applied
		if r := apply(t); !r.Empty() || r.Held == nil {
			t.Errorf("%s: %+v", when, r)
		}
		if k.applied != before {
			t.Errorf("%s: everything was compared", when)
		}
	}
	same(t, "nothing changed")
	for name, change := range map[string]func(){
		"nftables": func() { run(t, "nft flush chain inet pbr prerouting") },
		"routes":   func() { run(t, "ip route flush table all proto 112") },
		"rules":    func() { run(t, "ip rule flush protocol 112") },
	} {
		here.Run(name, func(t *testing.T) {
			change()
			if r := apply(t); r.Changes.Empty() {
				t.Errorf("%s: the change was not seen", name)
			}
			apply(t)
			same(t, name)
		})
	}
	// A copy of the plan is another one: what it is was not compared yet.
	copied := *want
	if k.unchanged(&copied) != nil {
		t.Error("another plan counts as held")
	}
	k.compared = time.Now().Add(-2 * fullEvery)
	if before := k.applied; !apply(t).Empty() || k.applied == before || time.Since(k.compared) > fullEvery {
		t.Error("after an hour not everything was compared")
	}
	same(t, "after that")
	k.CompareAll()
	if before := k.applied; !apply(t).Empty() || k.applied == before {
		t.Error("asked for it, not everything was compared")
	}
	have, held, err := k.LiveHeld(want)
	must(t, err)
	if held == nil || !plan.Diff(have, want).Empty() {
		t.Errorf("a look finds %+v", held)
	}
}
