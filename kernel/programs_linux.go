package kernel

import (
	"context"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/cgroup"
)

// readCgroups fills in the control groups that sets are to have, and has them watched.
func (k *Kernel) readCgroups(m *plan.Machine, sources []plan.CgroupSource) {
	if len(sources) == 0 {
		return // others only ask for facts
	}
	k.cgroups.Set(sources)
	root := cgroup.Root()
	m.NoCgroups = root == ""
	m.Cgroups = cgroup.Find(root, sources, plan.UnitLevels)
}

// watchCgroups tells of control groups that came or went.
func (k *Kernel) watchCgroups(ctx context.Context, in chan<- Event) {
	k.cgroups.Run(ctx, plan.UnitLevels, func() {
		select {
		case in <- Event{Kind: EventHost, What: "control groups of policies came or went"}:
		case <-ctx.Done():
		}
	})
}

// freshCgroups is a plan with the control groups that are there now. What somebody else put into a
// set since the machine was read, as systemd does before a unit begins (NFTSet=), is of one that is
// there by now, and is kept. Others' plans are left as they are.
func (k *Kernel) freshCgroups(want *plan.Plan) *plan.Plan {
	sources := k.cgroups.Sources()
	if !hasCgroups(want) || len(sources) == 0 {
		return want
	}
	found := cgroup.Find(cgroup.Root(), sources, plan.UnitLevels)
	fresh := *want
	fresh.Ruleset.Sets = slices.Clone(want.Ruleset.Sets)
	for i := range fresh.Ruleset.Sets {
		s := &fresh.Ruleset.Sets[i]
		if list, known := found[s.Name]; known && s.Type == plan.TypeCgroup {
			s.Elements = plan.CgroupElements(list)
		}
	}
	return &fresh
}

func hasCgroups(p *plan.Plan) bool {
	return slices.ContainsFunc(p.Ruleset.Sets, func(s plan.Set) bool { return s.Type == plan.TypeCgroup })
}
