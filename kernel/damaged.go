package kernel

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
)

// lostName names, in the journal, marks of which a damaged journal does not tell any more whose
// they are. No table is like it: as a strict one that is gone, so that no connection that may be
// strict uses another uplink, it has its connections' packets dropped until they are deleted.
const lostName = "/lost"

// recoveredJournal returns the journal for what the kernel holds. A number of the wanted plan
// counts as in force if its ip rule leads to its table. Every other mark that has a rule is lost.
func recoveredJournal(have, want *plan.Plan) *journal {
	known := owned{Marks: conntrack.Marks{Mask: want.Mask, Inside: want.Inside}, BasePriority: want.BasePriority, Attempted: true}
	var lost []owned
	for _, r := range have.Rules {
		if r.Protocol != plan.Protocol || r.Mark == 0 || r.Action != plan.ActLookup {
			continue
		}
		at := slices.IndexFunc(want.Numbers, func(n plan.Number) bool { return n.Mark == r.Mark && n.Table == r.Table })
		if at >= 0 && want.SelectsNumber(r) {
			known.addOnce(want.Numbers[at])
			continue
		}
		i := slices.IndexFunc(lost, func(o owned) bool { return o.Mask == r.MarkMask })
		if i < 0 {
			i = len(lost)
			lost = append(lost, owned{Marks: conntrack.Marks{Mask: r.MarkMask}, BasePriority: want.BasePriority, Attempted: true})
		}
		lost[i].addOnce(plan.Number{Name: lostName, Mark: r.Mark})
	}
	j := &journal{}
	for _, o := range append([]owned{known}, lost...) {
		if len(o.Numbers) > 0 {
			o.Sort()
			j.Owned = append(j.Owned, o)
		}
	}
	j.Changing = len(j.Owned) > 0 // -- the last apply may have been killed
	return j
}

// addOnce adds a number, unless it is there.
func (o *owned) addOnce(n plan.Number) {
	if _, there := o.Number(n.Mark); !there {
		o.Add(n)
	}
}
