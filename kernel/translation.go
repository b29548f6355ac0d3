package kernel

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// heldPriority is that of a chain in postrouting before all that translates, see
// linux/netfilter_ipv4.h: NF_IP_PRI_NAT_SRC is 100.
const heldPriority = 0

// translates reports whether a ruleset has NAT chains. They also pin connections.
func translates(r *plan.Ruleset) bool {
	return slices.ContainsFunc(r.Chains, func(c plan.Chain) bool { return c.Kind == "nat" })
}

// beforeTranslation returns a plan's ruleset without its NAT chains. Until these come it drops the
// first packets that leave through an uplink, because a connection that is neither translated nor
// pinned would stay so.
func beforeTranslation(p *plan.Plan, r *plan.Ruleset) *plan.Ruleset {
	out := *r
	out.Chains = slices.DeleteFunc(slices.Clone(r.Chains), func(c plan.Chain) bool { return c.Kind == "nat" })
	held := plan.Chain{Name: "before-translation", Kind: "filter", Hook: "postrouting", Priority: heldPriority}
	for _, iface := range uplinkInterfaces(p) {
		key := plan.KeyFromString(iface)
		held.Rules = append(held.Rules, plan.ChainRule{
			Matches: []plan.Match{
				{Field: plan.FieldCTState, Mask: walk.StateNew, Not: true},
				{Field: plan.FieldCTStatus, Mask: walk.StatusConfirmed},
				{Field: plan.FieldOIFName, From: key, To: key},
			},
			Actions: []plan.Action{plan.Drop{}}, Comment: "neither translated nor pinned yet",
		})
	}
	out.Chains = append(out.Chains, held)
	return &out
}

// uplinkInterfaces returns the interfaces of a plan's uplinks, each once.
func uplinkInterfaces(p *plan.Plan) (list []string) {
	for _, n := range p.Numbers {
		if n.Interface != "" && !slices.Contains(list, n.Interface) {
			list = append(list, n.Interface)
		}
	}
	return list
}
