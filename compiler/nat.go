package compiler

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// rtnLocal is RTN_LOCAL (linux/rtnetlink.h): one of the router's own addresses.
const rtnLocal = 2

const chainOwnSource = "own-source"

// translates reports whether addNAT adds anything.
func (c *compilation) translates() bool {
	return c.steersLocal() || slices.ContainsFunc(c.doc.Uplinks, func(u policy.Uplink) bool {
		return u.SourceNAT(false).Mode != policy.NATNone || u.SourceNAT(true).Mode != policy.NATNone
	})
}

// addNAT adds source NAT for new connections that leave through an uplink.
func (c *compilation) addNAT() {
	var rules, last []plan.ChainRule
	if c.steersLocal() {
		c.addOwnSource()
		last = []plan.ChainRule{rule("", nil, gotoChain(chainOwnSource))}
	}
	rules = slices.Concat(c.probesAsTheyAre(), c.masquerades())
	if static := c.addStaticNAT(last); static != nil {
		c.addSet(plan.Set{Name: mapSNAT, Type: plan.TypeIfname, Map: true,
			Comment: "interface: its static source address", Elements: static})
		rules = append(rules, rule("nat = ADDRESS", nil, plan.VMap{Field: plan.FieldOIFName, Set: mapSNAT}))
	}
	if rules = append(rules, last...); rules != nil {
		c.addChain(plan.Chain{Name: "source-nat", Kind: "nat", Hook: "postrouting", Priority: prioritySourceNAT, Rules: rules})
	}
}

// probesAsTheyAre exempts health checks: they measure the uplink from its own address, which a
// shared one of two routers need not be.
func (c *compilation) probesAsTheyAre() []plan.ChainRule {
	checked := func(u policy.Uplink) bool {
		return u.Check.Method != policy.CheckNone && (u.NAT.Mode != policy.NATNone || u.NAT6.Mode != policy.NATNone)
	}
	if !slices.ContainsFunc(c.doc.Uplinks, checked) {
		return nil
	}
	priority := plan.KeyFromUint32(plan.ProbePriority)
	return []plan.ChainRule{rule("probes leave as they are",
		when(plan.Match{Field: plan.FieldPriority, From: priority, To: priority}), accept)}
}

// masquerades returns the rules of uplinks that masquerade, both IP versions or one, and adds the
// sets that they look into.
func (c *compilation) masquerades() (rules []plan.ChainRule) {
	for _, kind := range []struct {
		set, comment string
		four, six    bool
		matches      []plan.Match
	}{
		{setMasq, "uplinks with nat = masquerade", true, true, nil},
		{setMasq + "-4", "uplinks that masquerade IPv4 alone", true, false, when(plan.NFProto(plan.IPv4))},
		{setMasq + "-6", "uplinks that masquerade IPv6 alone", false, true, when(plan.NFProto(plan.IPv6))},
	} {
		var uplinks []plan.Element
		for i := range c.doc.Uplinks {
			if u := &c.doc.Uplinks[i]; masquerades(u, plan.IPv4) == kind.four && masquerades(u, plan.IPv6) == kind.six {
				uplinks = append(uplinks, single(plan.KeyFromString(u.Interface)))
			}
		}
		if len(uplinks) > fewUplinks {
			c.addSet(plan.Set{Name: kind.set, Type: plan.TypeIfname, Comment: kind.comment, Elements: uplinks})
		}
		for _, exits := range oneOf(plan.FieldOIFName, kind.set, uplinks) {
			rules = append(rules, rule("nat = masquerade", append(kind.matches, exits), plan.Masquerade{}))
		}
	}
	return rules
}

// addStaticNAT adds a chain per uplink with a static source address, each ending in last, and
// returns the elements that lead to them.
func (c *compilation) addStaticNAT(last []plan.ChainRule) []plan.Element {
	var static []plan.Element
	for _, u := range c.doc.Uplinks {
		var snat []plan.ChainRule
		for _, family := range plan.Families {
			if nat := u.SourceNAT(family == plan.IPv6); nat.Mode == policy.NATAddress {
				snat = append(snat, rule("uplink "+u.Name, when(plan.NFProto(family)), plan.SNAT{Addr: nat.Addr}))
			}
		}
		if snat == nil {
			continue
		}
		chain := "snat-" + u.Name
		c.addChain(plan.Chain{Name: chain, Rules: append(snat, last...)})
		k := plan.KeyFromString(u.Interface)
		static = append(static, plan.Element{From: k, To: k, Goto: chain})
	}
	return static
}

// addOwnSource adds the chain for the router's own packets that a policy moved to another uplink:
// routed again after marking, they keep the source address of the first look-up, which is another
// uplink's.
func (c *compilation) addOwnSource() {
	local := plan.KeyFromUint32(rtnLocal)
	c.addChain(plan.Chain{Name: chainOwnSource, Rules: []plan.ChainRule{
		rule("the router's own, moved to another uplink", when(
			markMatch(plan.FieldMark, c.mask, 0, true),
			inSet(plan.FieldOIFName, setUplinks),
			plan.Match{Field: plan.FieldFibSAddrType, From: local, To: local},
			plan.Match{Field: plan.FieldFibSAddrOIFType, From: local, To: local, Not: true},
		), plan.Masquerade{}),
	}})
}

// TranslatesForwarded reports whether chains of a plan translate connections that the host
// forwards.
func TranslatesForwarded(chains []plan.Chain) bool {
	return slices.ContainsFunc(chains, func(c plan.Chain) bool {
		return c.Name != chainOwnSource && slices.ContainsFunc(c.Rules, func(r plan.ChainRule) bool {
			return slices.ContainsFunc(r.Actions, translates)
		})
	})
}

// translates reports whether an action is source NAT.
func translates(a plan.Action) bool {
	switch a.(type) {
	case plan.Masquerade, plan.SNAT:
		return true
	}
	return false
}

// steersLocal reports whether a policy moves the router's own connections.
func (c *compilation) steersLocal() bool {
	return slices.ContainsFunc(c.doc.Policies, func(p policy.Policy) bool {
		return p.Local && !p.Target.Refuses() && (p.Target.Kind != policy.ToDefault || c.pastRules() != 0)
	})
}
