package kernel

import (
	"context"
	"testing"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// TestDifferenceIsOfWhatWasCompared: the changes of a reading carry over to the transaction, and
// never to another ruleset than the two that were compared.
func TestDifferenceIsOfWhatWasCompared(t *testing.T) {
	chain := func(name string) plan.Ruleset { return plan.Ruleset{Chains: []plan.Chain{{Name: name}}} }
	have := &live{plan: &plan.Plan{Ruleset: chain("a")}, nft: &nft.Live{Ruleset: chain("a")}}
	want := &plan.Plan{Ruleset: chain("b")}
	d := differenceOf(have, want)
	if d.rulesetChanges(have.nft, &want.Ruleset) != d.changes {
		t.Error("the same rulesets are compared again")
	}
	later, other := &nft.Live{Ruleset: chain("b")}, chain("a")
	for name, c := range map[string]*plan.Changes{
		"read since":  d.rulesetChanges(later, &want.Ruleset),
		"not planned": d.rulesetChanges(have.nft, &other),
		"nothing":     (*difference)(nil).rulesetChanges(later, &want.Ruleset),
	} {
		if c == d.changes || !c.Empty() {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// TestOthersChangeNftablesBeforeTheTransaction: what others do to nftables between the reading and
// the transaction, to our table or to theirs, makes the transaction be computed again.
func TestOthersChangeNftablesBeforeTheTransaction(t *testing.T) {
	k := newKernel(t)
	for name, cmd := range map[string]string{
		"their table":         "nft add table inet theirs",
		"our table is gone":   "nft delete table inet pbr",
		"our chain is gone":   "nft flush chain inet pbr pre",
		"our chain has more":  "nft add rule inet pbr pre counter",
		"our table has more":  "nft add chain inet pbr more",
		"all of it is theirs": "nft flush ruleset",
	} {
		apply(t, k, testPlan(planA))
		done := false
		k.step = func(what string) {
			if what == "nftables transaction" && !done {
				done = true
				run(t, cmd)
			}
		}
		want := testPlan(planB)
		_, err := k.Apply(context.Background(), want)
		k.step = func(string) {}
		must(t, err)
		if !done {
			t.Fatalf("%s: no transaction", name)
		}
		holds(t, k, want)
	}
}
