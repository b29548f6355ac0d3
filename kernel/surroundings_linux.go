package kernel

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/kernel/facts"
)

// Surroundings reads what the namespace has beside the objects of a live plan: what an evaluator of packets needs to know. It changes nothing.
func (k *Kernel) Surroundings(have *plan.Plan) (*walk.Facts, error) {
	f := &walk.Facts{Known: true, Clients: map[string]map[plan.Key]uint32{}}
	var err error
	if f.Links, err = k.route.Links(); err != nil {
		return nil, err
	}
	rules, err := k.route.AllRules()
	if err != nil {
		return nil, err
	}
	others := plan.Plan{Rules: slices.DeleteFunc(rules, func(r plan.Rule) bool { return alreadyThere(have, r) })}
	if others.Routes, err = k.route.OthersRoutes(others.Rules); err != nil {
		return nil, err
	}
	plan.Normalize(&others)
	f.Rules, f.Routes = others.Rules, others.Routes
	for i := range have.Ruleset.Sets {
		if s := &have.Ruleset.Sets[i]; s.Dynamic && s.Map {
			if f.Clients[s.Name], err = k.nft.Members(s.Name); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// alreadyThere reports whether a live plan has the rule already.
func alreadyThere(have *plan.Plan, r plan.Rule) bool {
	return r.Protocol == plan.Protocol || plan.InSpan(have.BasePriority, r.Priority)
}

// Dropping reads the base chains of others whose policy is drop.
func (k *Kernel) Dropping() ([]facts.DropChain, error) { return k.nft.Dropping() }
