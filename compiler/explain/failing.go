package explain

import (
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
)

// failStep says what happens if the uplink's check fails now.
func (x *Explainer) failStep(s *Story, a *Answer) {
	if a.Uplink == "" || x.live.Failing == nil || x.byInterface[a.question.in] != nil {
		return
	}
	p := x.live.Failing(a.Uplink)
	if p == nil {
		return
	}
	then := *x
	var err error
	then.plan = p
	if then.router, err = walk.NewRouter(p, &x.live.Facts); err != nil {
		return
	}
	fresh := *a.question
	fresh.established, fresh.pinned = false, ""
	next := then.answer(&fresh)
	s.add("if "+a.Uplink+" fails", x.failText(a, next, &then), Plain)
}

// failText says what becomes of a connection whose uplink fails, and where a new one goes; next is
// the answer for a new one then. The last uplink of a table keeps its connections, unless something
// else moves to another uplink: then the uplink's mark is flushed.
func (x *Explainer) failText(a, next *Answer, then *Explainer) string {
	isLast := len(next.Members) == 0 && next.Uplink == a.Uplink
	if !isLast {
		return "this connection " + x.afterwards(a) + "; a new one " + newOne(next)
	}
	alone := "there is no other usable uplink"
	if next.Table == tableDefault || x.routed[next.Table] != nil {
		alone = "table " + next.Table + " has no other usable uplink"
	}
	if x.doc.Settings.FlushOnFailover && a.CTMark&x.plan.NumberMask() != 0 {
		if moving := x.moving(then, x.uplinks[a.Uplink], familyOf(a)); moving != "" {
			return "this connection is flushed, because " + moving + "; a new one uses " + a.Uplink + " anyway: " + alone
		}
	}
	return "nothing changes: " + alone
}

// afterwards tells what becomes of a connection whose uplink fails and is not the last one.
func (x *Explainer) afterwards(a *Answer) string {
	switch {
	case x.doc.Settings.FlushOnFailover:
		return "is flushed"
	case a.CTMark&x.plan.NumberMask() != 0:
		return "stays pinned, and waits"
	}
	return "uses what default uses"
}

// newOne tells where a new connection goes after an uplink failed.
func newOne(a *Answer) string {
	switch {
	case a.Verdict != walk.Forwarded.String():
		return "gets " + a.Verdict
	case len(a.Members) > 0:
		return "uses one of " + strings.Join(a.Members, ", ")
	case a.Uplink != "":
		return "uses " + a.Uplink
	case a.Interface != "":
		return "leaves through " + a.Interface
	}
	return "uses main's route"
}

func familyOf(a *Answer) plan.Family {
	if a.packet.Dst.Is6() {
		return plan.IPv6
	}
	return plan.IPv4
}

// moving names a table that leaves u for another uplink when u fails, or says that a policy falls
// back to default; it is empty if nothing moves. Connections of default over its primary uplink
// carry no mark, so default does not count then.
func (x *Explainer) moving(then *Explainer, u *policy.Uplink, family plan.Family) string {
	own := map[uint32]bool{}
	for _, n := range x.plan.Numbers {
		own[n.Table] = n.Uplink == u.Name || n.Name == plan.DefaultName && isPrimary(x.plan, u, family)
	}
	before, after := bestRoutes(x.plan, family), bestRoutes(then.plan, family)
	var names []string
	for at, was := range before {
		now := after[at]
		if x.routed[x.tableName(at.table)] != nil && !own[at.table] && uses(was, u) && !uses(now, u) && len(now.Hops) > 0 {
			names = append(names, "table "+x.tableName(at.table)+" moves to another uplink")
		}
	}
	if len(names) > 0 {
		return slices.Min(names)
	}
	for i := range x.doc.Policies {
		p := &x.doc.Policies[i]
		if p.Target.Kind == policy.ToUplink && p.Target.Name == u.Name && !p.Strict && !then.defaultUses(after, u) {
			return "policy " + p.Name + " falls back to default"
		}
	}
	return ""
}

// defaultUses reports whether default has u in one of these routes.
func (x *Explainer) defaultUses(routes map[destination]plan.Route, u *policy.Uplink) bool {
	for at, r := range routes {
		if x.tableName(at.table) == tableDefault && uses(r, u) {
			return true
		}
	}
	return false
}

// isPrimary reports whether an uplink is default's primary one, and in use.
func isPrimary(p *plan.Plan, u *policy.Uplink, family plan.Family) bool {
	key := plan.KeyFromString(u.Interface)
	return slices.ContainsFunc(p.Ruleset.Sets, func(s plan.Set) bool {
		return s.Name == plan.SetPrimary(family) && slices.ContainsFunc(s.Elements, func(e plan.Element) bool { return e.From == key })
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
