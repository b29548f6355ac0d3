package kernel

import (
	"context"
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/confirm"
	"pbr/kernel/route"
)

// SavePrevious saves have, the live state before an apply (see Live), for Restore. What others had
// put into pbr's objects is omitted: it cannot be recreated.
func (k *Kernel) SavePrevious(have *plan.Plan) error {
	before, err := k.previousOf(have)
	if err == nil {
		err = makeStateDir(k.dir)
	}
	if err != nil {
		return err
	}
	return k.trial().SavePrevious(before)
}

// previousOf returns the part of a live plan that can be restored.
func (k *Kernel) previousOf(have *plan.Plan) (*confirm.Previous, error) {
	j, err := readJournal(k.path(journalFile))
	if err != nil {
		return nil, err
	}
	if len(j.Owned) == 0 && len(have.Routes) == 0 && len(have.Rules) == 0 && len(have.Ruleset.Chains) == 0 {
		return &confirm.Previous{Nothing: true}, nil
	}
	return &confirm.Previous{Plan: repeatable(have, j)}, nil
}

// repeatable returns the part of a live plan that can be applied again: the numbers in force, what
// is ours, and the settings that pbr had changed by then, including those that the next plan does
// not mention.
func repeatable(have *plan.Plan, j *journal) *plan.Plan {
	p := *have
	if len(j.Owned) > 0 {
		o := j.Owned[0]
		p.Mask, p.Inside, p.BasePriority, p.Numbers = o.Mask, o.Inside, o.BasePriority, o.Plain()
	}
	p.Rules = slices.DeleteFunc(slices.Clone(have.Rules), func(r plan.Rule) bool { return r.Foreign != "" || r.Protocol != plan.Protocol })
	p.Routes = slices.DeleteFunc(slices.Clone(have.Routes), func(r plan.Route) bool {
		return r.Foreign != "" ||
			r.Protocol != plan.Protocol
	})
	p.Sysctls = nil
	for _, s := range j.Sysctls {
		if v, err := route.ReadSysctl(s.Path); err == nil {
			p.Sysctls = append(p.Sysctls, plan.Sysctl{Path: s.Path, Value: v})
		}
	}
	p.Ruleset, _ = have.Ruleset.Own()
	return &p
}

// HasPrevious reports whether there is a state to go back to.
func (k *Kernel) HasPrevious() bool { return k.trial().HasPrevious() }

// NothingBefore reports whether the kernel held nothing of pbr's in the saved state; the error is
// ErrNoPrevious if there is no saved state.
func (k *Kernel) NothingBefore() (bool, error) {
	p, err := k.trial().Previous()
	return err == nil && p.Empty(), err
}

// Restore goes back to the saved state and deletes it: by Apply, or by Flush if there was nothing.
// What is no longer possible, such as a route over an interface that is gone, is skipped with a
// warning.
func (k *Kernel) Restore(ctx context.Context) (*Report, error) {
	p, err := k.trial().Previous()
	if err != nil {
		return nil, err
	}
	if p.Empty() {
		return k.Flush(ctx)
	}
	host, err := k.HostFacts(plan.Needs{})
	if err != nil {
		return nil, err
	}
	left := withoutLinks(p.Plan, host)
	report, err := k.apply(ctx, p.Plan, true)
	if err != nil {
		return report, err
	}
	report.Warnings = append(left, report.Warnings...)
	return report, k.DropPrevious()
}

// withoutLinks removes from a plan what uses interfaces that are gone or down, and returns warnings
// about it.
func withoutLinks(p *plan.Plan, m plan.HostFacts) (warnings []string) {
	routes := p.Routes
	p.Routes = nil
	for _, r := range routes {
		usable := slices.DeleteFunc(slices.Clone(r.Hops), func(h plan.Hop) bool {
			gone := !m.Links[h.Dev].Up
			if gone {
				warnings = append(warnings,
					fmt.Sprintf("skipped: the next hop through %s of route %s in table %d: the interface is "+
						"missing or down", h.Dev, r.Dst, r.Table))
			}
			return gone
		})
		if len(usable) == 0 && len(r.Hops) > 0 {
			continue
		}
		r.Hops = usable
		p.Routes = append(p.Routes, r)
	}
	for i := range p.Ruleset.Flowtables {
		f := &p.Ruleset.Flowtables[i]
		f.Devices = slices.DeleteFunc(slices.Clone(f.Devices), func(dev string) bool {
			_, exists := m.Links[dev]
			return !exists
		})
	}
	plan.Normalize(p)
	return warnings
}

// DropPrevious deletes the saved state: the apply is confirmed.
func (k *Kernel) DropPrevious() error { return k.trial().DropPrevious() }
