package kernel

import (
	"errors"
	"io/fs"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// live is what the namespace holds, and what is needed to change it.
type live struct {
	plan *plan.Plan
	nft  *nft.Live
	// known means that the ruleset was not read: it is what the last apply or transaction left.
	known bool
	// last is the ruleset that the last apply left, nil if it is unknown.
	last *plan.Ruleset
	// sysctls are the live values of the settings that the journal has.
	sysctls map[string]string
	// look is where all of that was looked for.
	look Look
}

// Live reads everything that is pbr's into a plan, with want's mask and priority: want's priorities
// and tables, the tables of the journal, and everything with plan.Protocol.
func (k *Kernel) Live(want *plan.Plan) (*plan.Plan, error) {
	have, _, err := k.LiveHeld(want)
	return have, err
}

// read is Live; it reuses before's ruleset if nothing in nftables changed since.
func (k *Kernel) read(want *plan.Plan, j *journal, before *nft.Live) (*live, error) {
	empty := &plan.Plan{Mask: want.Mask, Inside: want.Inside, BasePriority: want.BasePriority}
	l := &live{plan: empty, sysctls: map[string]string{}, look: lookFor(want, j)}
	var err error
	if l.plan.Rules, l.plan.Routes, err = k.route.Read([]uint32{l.look.Base}, l.look.Tables); err != nil {
		return nil, err
	}
	if l.nft, l.last, l.known, err = k.readRuleset(&want.Ruleset, before); err != nil {
		return nil, err
	}
	if before == nil && j.Changing {
		l.last = nil // -- the apply that was killed may have removed what is missing
	}
	l.plan.Ruleset = l.nft.Ruleset
	for _, s := range want.Sysctls {
		v, err := route.ReadSysctl(s.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		l.plan.Sysctls = append(l.plan.Sysctls, plan.Sysctl{Path: s.Path, Value: v})
	}
	for _, s := range j.Sysctls {
		if v, err := route.ReadSysctl(s.Path); err == nil {
			l.sysctls[s.Path] = v
		}
	}
	plan.Sort(l.plan)
	return l, nil
}

// conflicts finds what others have in the priorities and tables that want needs and that are not
// pbr's yet. The priorities that start at bases, and tables, are pbr's already.
func conflicts(want, have *plan.Plan, bases, tables []uint32) error {
	e := &ConflictError{BasePriority: want.BasePriority}
	for _, r := range have.Rules {
		ours := r.Protocol == plan.Protocol || slices.ContainsFunc(bases, func(b uint32) bool { return plan.InSpan(b, r.Priority) })
		if !ours {
			e.Rules = append(e.Rules, r)
		}
	}
	for _, r := range have.Routes {
		if r.Protocol != plan.Protocol && !slices.Contains(tables, r.Table) {
			e.Routes = append(e.Routes, r)
		}
	}
	if len(e.Rules) == 0 && len(e.Routes) == 0 {
		return nil
	}
	return e
}
