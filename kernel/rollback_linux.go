package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"pbr/compiler/plan"
)

// rollBackTries is how often rollBack repairs what undoing left.
const rollBackTries = 3

// rollBack undoes the changes, and checks that everything is as it was: a message may fail after
// the kernel has done what it asks for. What differs is repaired. The error names what still
// differs in the end; nil means nothing.
func (a *application) rollBack() error {
	undone := a.undo()
	a.ctx = context.WithoutCancel(a.ctx)
	for try := 0; ; try++ {
		now, err := a.read(a.previousPlan(), a.journal, nil)
		if err != nil {
			return errors.Join(undone, fmt.Errorf("checking the rollback: %w", err))
		}
		d := differenceOf(now, a.previousPlan())
		unset := a.changedSettings(now)
		if d.changes.Empty() && len(unset) == 0 {
			return errors.Join(a.lost...)
		}
		if try == rollBackTries {
			return errors.Join(undone, fmt.Errorf("not restored: %s", strings.Join(changedParts(d.changes, unset), ", ")))
		}
		a.marks, a.want = nil, d.want
		if err := a.do(d, unset); err != nil {
			undone = errors.Join(undone, err)
		}
		a.done = nil
	}
}

// previousPlan returns the plan that was in force, as one to apply.
func (a *application) previousPlan() *plan.Plan {
	p := *a.start.plan
	p.Numbers = nil
	return &p
}

// changedSettings lists the settings of the journal whose value differs from before.
func (a *application) changedSettings(now *live) (out []plan.SysctlChange) {
	for path, was := range a.start.sysctls {
		if is, ok := now.sysctls[path]; ok && is != was {
			out = append(out, plan.SysctlChange{Path: path, Have: is, Want: was})
		}
	}
	return out
}

// changedParts names what differs.
func changedParts(c *plan.Changes, settings []plan.SysctlChange) (parts []string) {
	for _, p := range []struct {
		n    int
		what string
	}{{len(c.Routes), "routes"}, {len(c.Rules), "ip rules"}, {len(c.Sysctls) + len(settings), "settings"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if c.Ruleset() {
		parts = append(parts, "table inet "+plan.TableName)
	}
	return parts
}
