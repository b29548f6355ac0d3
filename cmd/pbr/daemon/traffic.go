package daemon

import (
	"net/netip"
	"slices"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// installed reports whether the default table, and other tables of the policy, have routes over an
// uplink.
func installed(want *plan.Plan, u *policy.Uplink, family plan.Family) (byDefault, byOther bool) {
	own := map[uint32]bool{}
	var defaultTable uint32
	for _, n := range want.Numbers {
		own[n.Table] = n.Uplink == u.Name
		if n.Name == plan.DefaultName {
			defaultTable = n.Table
		}
	}
	for _, r := range want.Routes {
		if r.Family != family || own[r.Table] || !uses(r, u) {
			continue
		}
		if r.Table == defaultTable {
			byDefault = true
		} else {
			byOther = true
		}
	}
	return byDefault, byOther
}

// movedFrom reports whether, from have to want, a table whose connections over the uplink are
// pinned gets a best route over others. Connections of default over its primary uplink are not
// pinned.
func movedFrom(have, want *plan.Plan, u *policy.Uplink, family plan.Family) bool {
	before, after := bestRoutes(have, family), bestRoutes(want, family)
	own := map[uint32]bool{}
	for _, n := range have.Numbers {
		own[n.Table] = n.Uplink == u.Name || n.Name == plan.DefaultName && isPrimary(have, u, family)
	}
	for at, was := range before {
		now := after[at]
		if !own[at.table] && uses(was, u) && !uses(now, u) && len(now.Hops) > 0 {
			return true
		}
	}
	return false
}

// fellBack reports whether, from have to want, policies that name the uplink stop using it, and
// default does not use it either.
func fellBack(doc *policy.Document, have, want *plan.Plan, u *policy.Uplink, family plan.Family) bool {
	if !hasUsable(have, u, family) || hasUsable(want, u, family) {
		return false
	}
	if !slices.ContainsFunc(doc.Policies, func(p policy.Policy) bool {
		return p.Target.Kind == policy.ToUplink && p.Target.Name == u.Name && !p.Strict
	}) {
		return false
	}
	byDefault, _ := installed(want, u, family)
	return !byDefault
}

// hasUsable reports whether policies that name an uplink use it.
func hasUsable(p *plan.Plan, u *policy.Uplink, family plan.Family) bool {
	mark := Mark(p.Numbers, u.Name)
	return inSet(p, compiler.UsableSet(family, false), plan.KeyFromUint32(mark))
}

func inSet(p *plan.Plan, set string, key plan.Key) bool {
	return slices.ContainsFunc(p.Ruleset.Sets, func(s plan.Set) bool {
		return s.Name == set && slices.ContainsFunc(s.Elements, func(e plan.Element) bool { return e.From == key })
	})
}

// destination is what routes of a table lead to.
type destination struct {
	table uint32
	to    netip.Prefix
}

// bestRoutes are the routes of a family that the kernel takes: of the lowest metric.
func bestRoutes(p *plan.Plan, family plan.Family) map[destination]plan.Route {
	best := map[destination]plan.Route{}
	for _, r := range p.Routes {
		at := destination{r.Table, r.Dst}
		if old, seen := best[at]; r.Family == family && (!seen || r.Metric < old.Metric) {
			best[at] = r
		}
	}
	return best
}

func uses(r plan.Route, u *policy.Uplink) bool {
	return slices.ContainsFunc(r.Hops, func(h plan.Hop) bool { return h.Dev == u.Interface })
}

// isPrimary reports whether an uplink is default's primary one, and in use.
func isPrimary(p *plan.Plan, u *policy.Uplink, family plan.Family) bool {
	return inSet(p, plan.SetPrimary(family), plan.KeyFromString(u.Interface))
}
