package compiler

import (
	"slices"
	"strconv"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// A policy that names an uplink goes to that uplink's chain, which looks the uplink's mark up among
// those of the usable ones of the packet's IP version: a failure, or a return, is one element of
// that set.

// UsableSet names the set that has the marks of the uplinks whose new connections of a family
// policies may send there; strict policies have one of their own.
func UsableSet(family plan.Family, strict bool) string {
	if strict {
		return "usable-strict-" + familySuffix(family)
	}
	return "usable-" + familySuffix(family)
}

// uplinkChain is the chain of policies to an uplink. otherwise is the table that their connections
// fall back to, empty for default as it is.
func uplinkChain(uplink string, strict bool, otherwise string) string {
	switch {
	case strict:
		return "uplink-" + uplink + strictSuffix
	case otherwise != "":
		return "uplink-" + uplink + "/" + otherwise
	}
	return "uplink-" + uplink
}

// addUplinkChains adds the chains that policies to uplinks lead to, and the sets of usable uplinks.
func (c *compilation) addUplinkChains() {
	added := map[string]bool{}
	var used [2]map[string]bool // not strict, strict
	for i := range c.doc.Policies {
		p := &c.doc.Policies[i]
		at := &used[0]
		if p.Strict {
			at = &used[1]
		}
		if p.Target.Kind != policy.ToUplink {
			continue
		}
		if *at == nil {
			*at = map[string]bool{}
		}
		(*at)[p.Target.Name] = true
		otherwise := policy.ReturnName(c.doc, p)
		if chain := uplinkChain(p.Target.Name, p.Strict, otherwise); !added[chain] {
			added[chain] = true
			c.addUplinkChain(chain, p.Target.Name, p.Strict, otherwise)
		}
	}
	c.addUsable(used[0], false)
	c.addUsable(used[1], true)
}

// addUsable adds the sets of usable uplinks for policies that are strict, or are not.
func (c *compilation) addUsable(used map[string]bool, strict bool) {
	if used == nil {
		return
	}
	for _, family := range plan.Families {
		s := plan.Set{Name: UsableSet(family, strict), Type: plan.TypeMark,
			Comment: "uplinks that policies can send IPv" + familySuffix(family) + " connections to"}
		for i := range c.doc.Uplinks {
			if u := &c.doc.Uplinks[i]; used[u.Name] && c.usable(u, family, strict) {
				s.Elements = append(s.Elements, c.routed(s.Name, plan.KeyFromUint32(c.numbers.mark(u.Name)), family, u.Name))
			}
		}
		c.addSet(s)
	}
}

// usable reports whether new connections of the family can take an uplink: it has a route there,
// and is not down.
func (c *compilation) usable(u *policy.Uplink, family plan.Family, strict bool) bool {
	if !slices.Contains(c.families(), family) || strict && c.down.closed(u.Name, family) {
		return false
	}
	_, ready := c.hop(u, family)
	return ready && c.down.Order(u.Name, family) == 0
}

func (c *compilation) addUplinkChain(chain, uplink string, strict bool, fallback string) {
	usable, otherwise := accept,
		[]plan.ChainRule{rule("else what default does", nil, plan.SetMark{Mask: c.mask, Value: c.pastRules()}, accept)}
	if fallback != "" {
		otherwise = []plan.ChainRule{rule("else what default does, until it returns", nil, gotoChain("mark-"+fallback))}
	}
	if strict {
		usable = gotoChain("mark-" + uplink + strictSuffix)
		otherwise = []plan.ChainRule{rule("else unreachable", nil, gotoChain("mark-"+unreachableName))}
	}
	rules := []plan.ChainRule{rule("uplink "+uplink, nil, plan.SetMark{Mask: c.mask, Value: c.numbers.mark(uplink)})}
	for _, family := range plan.Families {
		rules = append(rules, rule("while it is usable", when(plan.NFProto(family),
			plan.Match{Field: plan.FieldMark, Mask: c.mask, Set: UsableSet(family, strict)}), usable))
	}
	c.addChain(plan.Chain{Name: chain, Rules: append(rules, otherwise...)})
}

func familySuffix(family plan.Family) string { return strconv.Itoa(int(family)) }
