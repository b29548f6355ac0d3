package kernel

import (
	"context"
	"slices"

	"pbr/compiler/limits"
	"pbr/compiler/plan"
	"pbr/kernel/cgroup"
)

// readCgroups fills in the control groups that sets need, and starts watching them.
func (k *Kernel) readCgroups(m *plan.HostFacts, sources []plan.CgroupSource) {
	if len(sources) == 0 {
		return // -- others only ask for facts
	}
	k.cgroups.Set(sources)
	root := cgroup.Root()
	m.NoCgroups = root == ""
	m.Cgroups = cgroup.Find(root, sources, limits.UnitLevels)
}

// watchCgroups reports control groups that appear or disappear.
func (k *Kernel) watchCgroups(ctx context.Context, in chan<- Event) {
	k.cgroups.Run(ctx, limits.UnitLevels, func() {
		select {
		case in <- Event{Kind: EventHost, What: "control groups of policies appeared or disappeared"}:
		case <-ctx.Done():
		}
	})
}

// freshCgroups returns a plan with the control groups that exist now. If somebody else added one to
// a set since the host facts were read, as systemd does before a unit starts (NFTSet=), it exists
// by now and stays in. Plans without such sets are returned unchanged.
func (k *Kernel) freshCgroups(want *plan.Plan) *plan.Plan {
	sources := k.cgroups.Sources()
	if !hasCgroups(want) || len(sources) == 0 {
		return want
	}
	found := cgroup.Find(cgroup.Root(), sources, limits.UnitLevels)
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
