package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"

	"pbr/compiler/plan"
	"pbr/kernel/route"
)

// Flush removes everything that is pbr's, and nothing else: the nftables table first, so that no packet is marked any more, then
// rules and routes; settings that still have pbr's value get back what they had before, connections lose pbr's
// mark bits. It goes on after an error, and keeps the journal then, so that it can be tried again.
func (k *Kernel) Flush(ctx context.Context) (*Report, error) {
	unlock, err := k.locked("flush")
	if err != nil {
		return nil, err
	}
	defer unlock()
	k.forget()
	file := k.path("journal.json")
	j, err := readJournal(file)
	if err != nil {
		return nil, err
	}
	ruleset, err := k.nft.Read()
	if err != nil {
		return nil, err
	}
	nothing := &plan.Plan{}
	have := &plan.Plan{Ruleset: ruleset.Ruleset}
	if have.Rules, have.Routes, err = k.readRoutes(j.bases(), j.tables()); err != nil {
		return nil, err
	}
	report := &Report{Changes: plan.Diff(have, nothing)}
	values := map[string]string{}
	for _, s := range j.Sysctls {
		if v, err := route.ReadSysctl(s.Path); err == nil {
			values[s.Path] = v
		}
	}
	report.Restored = unsetSysctls(j.Sysctls, nil, values)
	errs := k.remove(ctx, report)
	for i := range j.Owned {
		n, err := clearMarks(j.Owned[i].Mask, j.Owned[i].Marks)
		report.Cleared += n
		if err != nil {
			report.Warnings = append(report.Warnings, err.Error())
		}
	}
	if len(errs) == 0 {
		for _, name := range []string{"journal.json", previousFile, snapshotFile} {
			if err := os.Remove(k.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return report, errors.Join(errs...)
}

// remove does a flush's removals.
func (k *Kernel) remove(ctx context.Context, r *Report) (errs []error) {
	try := func(what string, do func() error) {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("stopped before %s: %w", what, err))
			return
		}
		k.step(what)
		if err := do(); err != nil {
			errs = append(errs, err)
		}
	}
	// Also when it is empty: an empty table is still ours.
	try("delete table", k.nft.Delete)
	var rules []plan.Rule
	for _, c := range r.Changes.Rules {
		rules = append(rules, *c.Have)
	}
	try("delete rules", func() error { return k.route.DelRules(rules) })
	for _, c := range r.Changes.Routes {
		try("delete route", func() error { return k.route.DelRoute(*c.Have) })
	}
	for _, s := range r.Restored {
		try("restore sysctl", func() error { return route.WriteSysctl(s.Path, s.Want) })
	}
	return errs
}
