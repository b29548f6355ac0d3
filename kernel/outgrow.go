package kernel

import (
	"slices"

	"pbr/compiler/plan"
)

// Where connections from inside have a bit of their own, nearly all values of a crowded mask may be
// in use, once with the bit and once without it, and a change of numbers finds none that are free.
// Marks without the bit are as good: so they lose it before such a change, or get it after it.

// maxDetours limits the intermediate plans, each of which takes about a tenth of a second. 15 are
// needed if 120 names become 240 under a mask of 255 values; more than 250 may need hundreds.
const maxDetours = 24

// stages returns the plans to apply one after the other, so that at each step every number means
// the same to both plans. full is true if the mask has too few free values for that.
func stages(earlier []owned, want *plan.Plan) (list []*plan.Plan, full bool) {
	list, full = passage(earlier, want)
	if !full || want.Inside == 0 {
		return list, full
	}
	list, full = passage(earlier, withoutInside(want))
	return append(list, want), full
}

// passage is stages with the marks as they are in both plans.
func passage(earlier []owned, want *plan.Plan) (list []*plan.Plan, full bool) {
	if len(earlier) == 0 {
		return []*plan.Plan{want}, false
	}
	for range maxDetours {
		next, full := detour(earlier, want)
		if full {
			break
		}
		if next == nil {
			return append(list, want), false
		}
		list, earlier = append(list, next), []owned{claimsOf(next)}
	}
	return []*plan.Plan{want}, true
}

// withoutInside returns a plan's equal whose marks do not say which side opened a connection.
func withoutInside(p *plan.Plan) *plan.Plan {
	out := *p
	out.Inside = 0
	out.Rules = slices.Clone(p.Rules)
	for i := range out.Rules {
		if p.SelectsNumber(out.Rules[i]) {
			out.Rules[i].MarkMask = p.Mask
		}
	}
	out.Ruleset = noneFromInside(&p.Ruleset, p.Inside)
	out.Ruleset.Sets = slices.Clone(out.Ruleset.Sets)
	for i := range out.Ruleset.Sets {
		s := &out.Ruleset.Sets[i]
		if s.Type == plan.TypeMark && s.Map {
			s.Elements = slices.DeleteFunc(slices.Clone(s.Elements), func(e plan.Element) bool {
				return e.From.Uint(plan.TypeMark)&p.Inside != 0
			})
		}
	}
	plan.Sort(&out)
	return &out
}

// noneFromInside returns a ruleset that sets the bit in no ct mark, and treats marks that have it
// as those without.
func noneFromInside(r *plan.Ruleset, inside uint32) plan.Ruleset {
	out := *r
	out.Chains = slices.Clone(r.Chains)
	for i := range out.Chains {
		c := &out.Chains[i]
		c.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r plan.ChainRule) bool {
			return slices.ContainsFunc(r.Matches, func(m plan.Match) bool {
				return m.Field == plan.FieldCTMark && (m.Mask == inside || m.From.Uint(plan.TypeMark)&inside != 0)
			})
		})
		for j := range c.Rules {
			c.Rules[j].Actions = slices.Clone(c.Rules[j].Actions)
			for k, a := range c.Rules[j].Actions {
				if set, ok := a.(plan.SetCTMark); ok && set.Mask&inside != 0 {
					c.Rules[j].Actions[k] = plan.SetCTMark{Mask: set.Mask, Value: set.Value &^ inside}
				}
			}
		}
	}
	return out
}
