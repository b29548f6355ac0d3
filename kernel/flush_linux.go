package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/confirm"
	"pbr/kernel/conntrack"
	"pbr/kernel/route"
	"pbr/kernel/state"
)

// Flush removes everything that is pbr's, and nothing else. The nftables table goes first, so that
// no packet is marked any more, then rules and routes. Settings that still have pbr's value get
// their earlier value back, and connections lose pbr's mark bits. Flush continues after an error,
// and then keeps the journal, so that it can be repeated.
//
// If the journal cannot be read, Flush removes what it recognises without it: the table, and
// everything with plan.Protocol. It warns about the rest.
func (k *Kernel) Flush(ctx context.Context) (*Report, error) {
	unlock, err := k.locked("flush")
	if err != nil {
		return nil, err
	}
	defer unlock()
	pruneStates(k.dir)
	k.forget()
	var warnings []string
	if err := k.forgetClock(); err != nil {
		warnings = append(warnings, err.Error())
	}
	j, err := readJournal(k.path(journalFile))
	var damaged *JournalError
	if errors.As(err, &damaged) {
		warnings = append(warnings, fmt.Sprintf("the journal %s is damaged (%v): settings (sysctls) that pbr changed are not restored, "+
			"and rules and routes that others put into pbr's priorities and tables are not removed", damaged.File, damaged.Err))
		j = &journal{}
	} else if err != nil {
		return nil, err
	}
	ruleset, err := k.nft.Outline()
	if err != nil {
		return nil, err
	}
	have := &plan.Plan{Ruleset: *ruleset}
	if have.Rules, have.Routes, err = k.route.Read(j.bases(), j.tables()); err != nil {
		return nil, err
	}
	if damaged != nil {
		j.Owned = ownedByRuleset(&have.Ruleset)
	}
	report := &Report{Changes: plan.Diff(have, &plan.Plan{}), Warnings: warnings}
	values := map[string]string{}
	for _, s := range j.Sysctls {
		if v, err := route.ReadSysctl(s.Path); err == nil {
			values[s.Path] = v
		}
	}
	report.Restored = unsetSysctls(j.Sysctls, nil, values)
	errs := k.remove(ctx, report, j)
	k.flushMarks(report, j)
	if len(errs) == 0 {
		errs = append(errs, k.removeState())
	}
	return report, errors.Join(errs...)
}

// ownedByRuleset derives masks and marks from what the table does to connections.
func ownedByRuleset(r *plan.Ruleset) (out []owned) {
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			for _, action := range rule.Actions {
				a, ok := action.(plan.SetCTMark)
				if !ok || a.Value == 0 {
					continue
				}
				at := slices.IndexFunc(out, func(o owned) bool { return o.Mask == a.Mask })
				if at < 0 {
					at, out = len(out), append(out, owned{Marks: conntrack.Marks{Mask: a.Mask}})
				}
				out[at].Numbers = append(out[at].Numbers, plan.Number{Mark: a.Value})
			}
		}
	}
	return out
}

// flushMarks clears every mark of the connections.
func (k *Kernel) flushMarks(r *Report, j *journal) {
	for _, o := range j.all() {
		n, err := conntrack.ClearMarks(o.Mask, o.Values())
		r.Cleared += n
		if err != nil {
			r.Warnings = append(r.Warnings, err.Error())
		}
	}
}

// removeState removes pbr's state for this network namespace, including files that a killed run
// left half written.
func (k *Kernel) removeState() error {
	var errs []error
	for _, name := range append(confirm.Files(), journalFile, journalFile+damagedSuffix, snapshotFile, ledgerFile, InSyncFile) {
		for _, suffix := range []string{"", state.TempSuffix} {
			if err := os.Remove(k.path(name + suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(append(errs, os.RemoveAll(k.path(madeDir)))...)
}

// remove carries out the removals of a flush.
func (k *Kernel) remove(ctx context.Context, r *Report, j *journal) (errs []error) {
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
	restore := func(check bool) {
		for _, s := range r.Restored {
			if sourceCheck(s) == check {
				try("restore sysctl", func() error { return restoreSetting(s, j.Sysctls) })
			}
		}
	}
	// The kernel has to check source addresses again before the table stops doing it.
	restore(true)
	// An empty table is deleted too: it is still ours.
	try("delete table", k.nft.Delete)
	rules := orderRules(r.Changes.Rules)
	try("delete rules", func() error { return k.route.DelRules(slices.Concat(rules.unskip, rules.del)) })
	_, del := splitRoutes(r.Changes.Routes)
	routes := k.route.EditRoutes()
	for burst := range slices.Chunk(del, route.BurstSize) {
		try(nameRoutes("delete", burst), func() error { return errors.Join(routes.Del(burst)...) })
	}
	restore(false)
	return errs
}
