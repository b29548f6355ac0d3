package explain

import (
	"strings"

	"pbr/compiler"
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

// failText says what happens to a connection whose uplink fails, and where a new one goes; next is
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

// afterwards says what happens to a connection whose uplink fails and is not the last one.
func (x *Explainer) afterwards(a *Answer) string {
	switch {
	case x.doc.Settings.FlushOnFailover:
		return "is flushed"
	case a.CTMark&x.plan.NumberMask() != 0:
		return "stays pinned, and waits"
	}
	return "uses what default uses"
}

// newOne says where a new connection goes after an uplink failed.
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

// moving says what leaves an uplink for another when it fails: a table, or policies that fall back
// to default; it is empty if nothing does.
func (x *Explainer) moving(then *Explainer, u *policy.Uplink, family plan.Family) string {
	if tables := compiler.MovedTables(x.plan, then.plan, u, family); len(tables) > 0 {
		return "table " + tables[0] + " moves to another uplink"
	}
	if policies := compiler.FellBack(x.doc, x.plan, then.plan, u, family); len(policies) > 0 {
		return "policy " + policies[0] + " falls back to default"
	}
	return ""
}
