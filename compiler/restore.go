package compiler

import (
	"slices"

	"pbr/compiler/plan"
)

// fewPinned is up to how many marks are compared one by one. The look-up costs a packet as much as
// six comparisons (0.075 and 0.012 each of connection tracking and masquerade), but first packets
// meet the comparisons, too.
const fewPinned = 4

// restoreInside returns the rules that give packets of connections opened from inside the mark of
// their uplink. None copies the connection's mark: one that names nothing of today's policy must
// not get to the ip rules. In rules that compare, the value has the bit that inside asks for.
func (c *compilation) restoreInside(inside []plan.Match) (rules []plan.ChainRule) {
	pinned := c.pinned()
	if len(pinned) > fewPinned {
		return []plan.ChainRule{rule("opened from inside: to its uplink", inside,
			plan.VMap{Field: plan.FieldCTMark, Mask: c.mask, Set: mapMarks})}
	}
	for _, n := range pinned {
		rules = append(rules, rule("opened from inside: to "+n.Name,
			when(markMatch(plan.FieldCTMark, c.mask, n.Mark|c.numbers.inside, false), noBit(plan.FieldCTStatus, statusExpected)),
			plan.SetMark{Mask: c.mask, Value: n.Mark}, accept))
	}
	return rules
}

// pinned returns the numbers that connections are pinned to, the most frequent ones first: those of
// default's first uplink come last, because most of its connections carry no mark.
func (c *compilation) pinned() (list []plan.Number) {
	seldom := c.lowestOfDefault()
	var last []plan.Number
	for _, n := range c.out.Numbers {
		switch {
		case n.Uplink == "":
		case seldom != nil && n.Uplink == seldom.Name:
			last = append(last, n)
		default:
			list = append(list, n)
		}
	}
	return slices.Concat(list, last)
}
