package plan

import "slices"

// Own returns a live ruleset without what pbr never makes, and names where that was.
func (r *Ruleset) Own() (own Ruleset, strange []string) {
	own, strange = *r, slices.Clone(r.Foreign)
	own.Foreign = nil
	own.Flowtables, own.Sets, own.Chains = slices.Clone(r.Flowtables), slices.Clone(r.Sets), slices.Clone(r.Chains)
	take := func(kind, name string, foreign *string) {
		if *foreign != "" {
			strange = append(strange, kind+" "+name)
			*foreign = ""
		}
	}
	for i := range own.Flowtables {
		take("flowtable", own.Flowtables[i].Name, &own.Flowtables[i].Foreign)
	}
	for i := range own.Sets {
		take("set", own.Sets[i].Name, &own.Sets[i].Foreign)
	}
	for i := range own.Chains {
		c := &own.Chains[i]
		take("chain", c.Name, &c.Foreign)
		all := len(c.Rules)
		c.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r ChainRule) bool { return r.Foreign != "" })
		if len(c.Rules) < all {
			strange = append(strange, "a rule of chain "+c.Name)
		}
	}
	return own, strange
}
