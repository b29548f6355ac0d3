package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"pbr/compiler/plan"
)

// previousFile has the plan to go back to unless an apply is confirmed.
const previousFile = "previous.json"

// previous is what Restore goes back to: nothing, or a plan.
type previous struct {
	Nothing bool       `json:"nothing,omitempty"`
	Plan    *plan.Plan `json:"plan,omitempty"`
}

// SavePrevious keeps have, the live state before an apply (see Live), for Restore. What others had put into
// pbr's objects is left out: it cannot be made again.
func (k *Kernel) SavePrevious(have *plan.Plan) error {
	j, err := readJournal(k.path("journal.json"))
	if err != nil {
		return err
	}
	p := previous{Nothing: len(j.Owned) == 0 && len(have.Routes) == 0 && len(have.Rules) == 0 && len(have.Ruleset.Chains) == 0}
	if !p.Nothing {
		p.Plan = repeatable(have, j)
	}
	b, err := json.Marshal(p)
	if err == nil {
		err = os.MkdirAll(k.dir, 0o755)
	}
	if err == nil {
		err = writeFile(k.path(previousFile), b)
	}
	if err != nil {
		return fmt.Errorf("saving the state to go back to: %w", err)
	}
	return nil
}

// repeatable returns the part of a live plan that can be applied: numbers as they are in force, what is
// ours, and of the settings those that pbr had made by then.
func repeatable(have *plan.Plan, j *journal) *plan.Plan {
	p := *have
	if len(j.Owned) > 0 {
		o := j.Owned[0]
		p.Mask, p.BasePriority = o.Mask, o.BasePriority
	}
	p.Rules = slices.DeleteFunc(slices.Clone(have.Rules), func(r plan.Rule) bool { return r.Foreign != "" || r.Protocol != plan.Protocol })
	p.Routes = slices.DeleteFunc(slices.Clone(have.Routes), func(r plan.Route) bool { return r.Foreign != "" || r.Protocol != plan.Protocol })
	p.Sysctls = slices.DeleteFunc(slices.Clone(have.Sysctls), func(s plan.Sysctl) bool {
		return !slices.ContainsFunc(j.Sysctls, func(t setting) bool { return t.Path == s.Path })
	})
	p.Ruleset = ownRuleset(have.Ruleset)
	return &p
}

// ownRuleset leaves out what pbr never makes.
func ownRuleset(r plan.Ruleset) plan.Ruleset {
	r.Foreign = nil
	r.Sets = slices.Clone(r.Sets)
	for i := range r.Sets {
		r.Sets[i].Foreign = ""
	}
	r.Chains = slices.Clone(r.Chains)
	for i := range r.Chains {
		c := &r.Chains[i]
		c.Foreign = ""
		c.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r plan.ChainRule) bool { return r.Foreign != "" })
	}
	return r
}

// HasPrevious tells whether there is a state to go back to.
func (k *Kernel) HasPrevious() bool {
	_, err := os.Stat(k.path(previousFile))
	return err == nil
}

// Restore goes back to the saved state and forgets it: by Apply, or by Flush if there was nothing.
func (k *Kernel) Restore(ctx context.Context) (*Report, error) {
	b, err := os.ReadFile(k.path(previousFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoPrevious
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state to go back to: %w", err)
	}
	var p previous
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("reading the state to go back to: %w", err)
	}
	if p.Nothing || p.Plan == nil {
		return k.Flush(ctx)
	}
	report, err := k.Apply(ctx, p.Plan)
	if err != nil {
		return report, err
	}
	return report, k.DropPrevious()
}

// DropPrevious forgets the saved state: the apply is confirmed.
func (k *Kernel) DropPrevious() error {
	if err := os.Remove(k.path(previousFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the state to go back to: %w", err)
	}
	return nil
}
