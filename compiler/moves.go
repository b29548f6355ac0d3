package compiler

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// If a failed uplink has to be flushed depends on what moves away from it: where nothing has
// another uplink, its connections stay, because the check may be wrong.

// MovedTables returns, sorted, the tables whose connections over an uplink are pinned, and whose
// best route is over others in want, unlike in have.
func MovedTables(have, want *plan.Plan, u *policy.Uplink, family plan.Family) (names []string) {
	before, after := have.BestRoutes(family), want.BestRoutes(family)
	pinning := map[uint32]string{}
	for _, n := range have.Numbers {
		// Connections of default over its primary uplink are not pinned.
		if n.Uplink != u.Name && (n.Name != plan.DefaultName || !isPrimary(have, u, family)) {
			pinning[n.Table] = n.Name
		}
	}
	for at, was := range before {
		now := after[at]
		if name := pinning[at.Table]; name != "" && was.Uses(u.Interface) && !now.Uses(u.Interface) && len(now.Hops) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// FellBack returns the policies that name an uplink, and whose new connections use it in have, and
// fall back to a default without it in want.
func FellBack(doc *policy.Document, have, want *plan.Plan, u *policy.Uplink, family plan.Family) (names []string) {
	if !IsUsable(have, have.Numbers, u.Name, family, false) || IsUsable(want, want.Numbers, u.Name, family, false) {
		return nil
	}
	if byDefault, _ := RoutedBy(want, u, family); byDefault {
		return nil
	}
	for i := range doc.Policies {
		if p := &doc.Policies[i]; p.Target.Kind == policy.ToUplink && p.Target.Name == u.Name && !p.Strict {
			names = append(names, p.Name)
		}
	}
	return names
}

// RoutedBy reports whether the default table, and other tables of the policy, have routes over an
// uplink.
func RoutedBy(p *plan.Plan, u *policy.Uplink, family plan.Family) (byDefault, byOther bool) {
	names := map[uint32]string{}
	for _, n := range p.Numbers {
		if n.Uplink != u.Name {
			names[n.Table] = n.Name
		}
	}
	for i := range p.Routes {
		r := &p.Routes[i]
		switch name := names[r.Table]; {
		case r.Family != family || name == "" || !r.Uses(u.Interface):
		case name == plan.DefaultName:
			byDefault = true
		default:
			byOther = true
		}
	}
	return byDefault, byOther
}

// IsUsable reports whether policies that name an uplink, strict or not, send new connections there,
// according to a plan or the kernel's state.
func IsUsable(p *plan.Plan, numbers []plan.Number, uplink string, family plan.Family, strict bool) bool {
	return p.Ruleset.Has(UsableSet(family, strict), plan.KeyFromUint32(plan.PinnedMark(numbers, uplink)))
}

// isPrimary reports whether an uplink is default's primary one, and in use.
func isPrimary(p *plan.Plan, u *policy.Uplink, family plan.Family) bool {
	return p.Ruleset.Has(plan.SetPrimary(family), plan.KeyFromString(u.Interface))
}

// LowestOfDefault returns the uplink of the only route of default at the lowest distance, which is
// its primary one while default uses it; nil if there is none.
func LowestOfDefault(doc *policy.Document) *policy.Uplink {
	if doc.Default == nil {
		return nil
	}
	var first *policy.Route
	alone := false
	for i := range doc.Default.Routes {
		r := &doc.Default.Routes[i]
		switch {
		case r.Dst.IsValid():
		case first == nil || r.Distance < first.Distance:
			first, alone = r, true
		case r.Distance == first.Distance:
			alone = false
		}
	}
	if !alone {
		return nil
	}
	return doc.Uplink(first.Uplink)
}
