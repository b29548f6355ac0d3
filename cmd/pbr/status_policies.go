package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// steeringStatus is a policy, or a stateless rule, with what its new connections use now.
type steeringStatus struct {
	Name    string               `json:"name"`
	Comment string               `json:"comment,omitempty"`
	Line    int                  `json:"line"`
	Target  daemon.OutlineTarget `json:"target"`
	// Uplinks carry new connections now, by IP version; empty where none does, several where a
	// balance or equal distances choose.
	Uplinks map[string][]string `json:"uplinks"`
	// Hits are the connections that a policy has caught since the table was made; nil if that is
	// not known.
	Hits *uint64 `json:"hits,omitempty"`
	// Problem says what is wrong; empty if nothing is.
	Problem string `json:"problem,omitempty"`
	// Outside is set while the policy is outside its schedule and matches nothing, until
	// NextWindow, if that is known.
	Outside    bool       `json:"outside_schedule,omitempty"`
	NextWindow *time.Time `json:"next_window,omitempty"`
	// only is daemon.OutlineSelector.Only.
	only plan.Family
}

// ruleStatus is a stateless rule. The kernel does not count what its ip rules catch.
type ruleStatus struct {
	steeringStatus
	Action   string `json:"action"`
	Priority uint32 `json:"priority"`
}

// steering finds out what targets lead to.
type steering struct {
	outline *daemon.Outline
	status  *statusResult
	live    *plan.Plan
	// applied reports whether the kernel has a table of ours.
	applied bool
}

// readSteering fills in policies and rules.
func (s *statusResult) readSteering(o *daemon.Outline, live *plan.Plan, packets map[string]uint64) {
	st := &steering{o, s, live, len(live.Ruleset.Chains) > 0}
	s.Policies, s.Rules = []steeringStatus{}, []ruleStatus{}
	now, schedules := time.Now(), map[string]*plan.Set{}
	for i := range live.Ruleset.Sets {
		if set := &live.Ruleset.Sets[i]; set.Type == plan.TypeTime {
			schedules[set.Name] = set
		}
	}
	for _, p := range o.Selectors {
		one := st.one(p.Name, p.Line, p.Target, p.Only)
		one.Comment = o.Comments["policy "+p.Name]
		if n, counted := packets[p.Counter]; counted || st.applied {
			one.Hits = &n // of a policy that others cover nothing counts
		}
		if windows := schedules[p.Schedule]; windows != nil {
			one.Outside, one.NextWindow = outsideWindows(windows.Elements, now)
		}
		s.Policies = append(s.Policies, one)
	}
	for _, r := range o.Rules {
		one := ruleStatus{st.one(r.Name, r.Line, r.Target, 0), r.Action, r.Priority}
		one.Comment = o.Comments["rule "+r.Name]
		if !slices.ContainsFunc(live.Rules, func(l plan.Rule) bool { return l.Priority == r.Priority }) {
			one.Problem = "none of its ip rules is in force"
		}
		s.Rules = append(s.Rules, one)
	}
}

// outsideWindows reports whether a time is in none of some windows, and when the next one begins.
func outsideWindows(windows []plan.Element, now time.Time) (outside bool, next *time.Time) {
	for _, w := range windows {
		from, to := time.Unix(int64(w.From.Seconds()), 0), time.Unix(int64(w.To.Seconds()), 0)
		switch {
		case from.After(now):
			if next == nil || from.Before(*next) {
				next = &from
			}
		case now.Before(to):
			return false, nil
		}
	}
	return true, next
}

// one is a policy's, or rule's, status without its hits. only is daemon.OutlineSelector.Only.
func (st *steering) one(name string, line int, target daemon.OutlineTarget, only plan.Family) steeringStatus {
	one := steeringStatus{Name: name, Line: line, Target: target, Uplinks: map[string][]string{}, only: only}
	if !st.applied {
		one.Problem = "not applied"
		return one
	}
	var faults []string
	wrong := map[string][]plan.Family{}
	for _, family := range plan.Families {
		uplinks, fault := st.uplinks(target, family)
		one.Uplinks[versionKey(family)] = append([]string{}, uplinks...)
		if fault == "" && only == family {
			fault = st.lackingVersion(target, family)
		}
		if fault == "" || only != 0 && only != family {
			continue
		}
		if wrong[fault] == nil {
			faults = append(faults, fault)
		}
		wrong[fault] = append(wrong[fault], family)
	}
	for i, fault := range faults {
		if len(wrong[fault]) == 1 {
			faults[i] = fmt.Sprintf("IPv%d: %s", wrong[fault][0], fault)
		}
	}
	one.Problem = strings.Join(faults, "; ")
	return one
}

// uplinks are those that carry new connections of a target, and what is wrong with that.
func (st *steering) uplinks(target daemon.OutlineTarget, family plan.Family) (uplinks []string, fault string) {
	switch target.Kind {
	case "uplink":
		return st.ofUplink(target, family)
	case "table":
		return st.ofTable(target.Name, family)
	case "balance":
		return st.ofBalance(target, family)
	case "default":
		return st.ofDefault(family), ""
	}
	return nil, ""
}

func (st *steering) ofUplink(target daemon.OutlineTarget, family plan.Family) ([]string, string) {
	leads := st.leads(target.Name, family)
	if compiler.IsUsable(st.live, st.outline.Numbers, target.Name, family, target.Strict) || leads && st.isRule(target) {
		switch unseen := st.linkDown(target.Name, family); {
		case !unseen:
			return []string{target.Name}, ""
		case leads && !target.Strict:
			return []string{target.Name}, "its uplink is link-down, and new connections still use it: pbr watch is not running"
		}
	}
	fault := ""
	if st.outline.Carries(target.Name, family) {
		fault = "its uplink is " + st.state(target.Name, family) + ": "
	}
	return st.instead(target.Strict, family, fault)
}

// linkDown reports whether an uplink's link is down and nobody has taken the uplink out of use,
// because no watch runs: the kernel still sends connections to its table.
func (st *steering) linkDown(uplink string, family plan.Family) bool {
	return st.status.Watch == nil && st.state(uplink, family) == string(healthcheck.LinkDown)
}

// isRule reports whether no policy has such a target: then there is no set of usable uplinks to
// ask, and the uplink's own table decides.
func (st *steering) isRule(target daemon.OutlineTarget) bool {
	return !slices.ContainsFunc(st.outline.Selectors, func(p daemon.OutlineSelector) bool { return p.Target == target })
}

// leads reports whether an uplink's own table has a route.
func (st *steering) leads(uplink string, family plan.Family) bool {
	number := st.outline.Table(uplink)
	return slices.ContainsFunc(st.live.Routes, func(r plan.Route) bool {
		return r.Table == number &&
			r.Family == family && len(r.Hops) > 0
	})
}

// lackingVersion says that a target which nothing is wrong with carries no packets of an IP
// version, and what becomes of them; empty if it carries some. It is a fault only for a policy that
// matches no other version.
func (st *steering) lackingVersion(target daemon.OutlineTarget, family plan.Family) string {
	switch best := st.best(target.Name, family); {
	case target.Kind == "uplink" && !st.outline.Carries(target.Name, family) &&
		!compiler.IsUsable(st.live, st.outline.Numbers, target.Name, family, target.Strict):
		return "not carried by its uplink: " + st.insteadText(target.Strict, family)
	case target.Kind == "balance" && !st.hasMemberOf(target.Name, family):
		return "not carried by any member: " + st.insteadText(target.Strict, family)
	case target.Kind == "table" && !st.hasRouteOf(target.Name, family):
		return "its table has no route: " + st.insteadText(best != nil, family)
	}
	return ""
}

// insteadText says what becomes of new connections that their target does not carry: those of a
// target that is not strict use default, if that carries the version, and main's routes if not.
func (st *steering) insteadText(strict bool, family plan.Family) string {
	switch a := st.best(plan.DefaultName, family); {
	case strict, a != nil && len(a.Uplinks) == 0:
		return "new connections are unreachable"
	case a == nil:
		return "new connections use main's routes"
	}
	return "new connections use default"
}

// hasMemberOf reports whether a member of a balance is usable in an IP version.
func (st *steering) hasMemberOf(balance string, family plan.Family) bool {
	return slices.ContainsFunc(st.status.Balances, func(b balanceStatus) bool {
		return b.Name == balance && slices.ContainsFunc(b.Members, func(m memberStatus) bool {
			return slices.Contains(m.Usable, int(family))
		})
	})
}

// hasRouteOf reports whether a table has a route of an IP version through an uplink.
func (st *steering) hasRouteOf(table string, family plan.Family) bool {
	return slices.ContainsFunc(st.status.Tables, func(t tableStatus) bool {
		return t.Name == table && slices.ContainsFunc(t.Active, func(a activeRoute) bool {
			return a.Family == family && len(a.Uplinks) > 0
		})
	})
}

// instead is what carries connections whose target cannot.
func (st *steering) instead(strict bool, family plan.Family, fault string) ([]string, string) {
	switch {
	case fault != "" && strict:
		return nil, fault + "new connections are unreachable"
	case strict:
		return nil, ""
	case fault != "":
		return st.ofDefault(family), fault + "new connections use default"
	}
	return st.ofDefault(family), ""
}

// state is an uplink's state in a version, or "not usable" if the state does not say why.
func (st *steering) state(uplink string, family plan.Family) string {
	for _, u := range st.status.Uplinks {
		v, has := u.Versions[versionKey(family)]
		if u.Name == uplink && has && !v.Usable {
			return v.State
		}
	}
	return "not usable"
}

// best is the route of a table to everywhere that the kernel takes.
func (st *steering) best(table string, family plan.Family) *activeRoute {
	for i := range st.status.Tables {
		t := &st.status.Tables[i]
		for j := range t.Active {
			if a := &t.Active[j]; t.Name == table && a.Family == family && a.Destination == plan.DefaultName {
				return a
			}
		}
	}
	return nil
}

func (st *steering) ofDefault(family plan.Family) []string {
	if a := st.best(plan.DefaultName, family); a != nil && len(a.Uplinks) > 0 {
		return a.Uplinks
	}
	return nil
}

func (st *steering) ofTable(table string, family plan.Family) ([]string, string) {
	switch a := st.best(table, family); {
	case a == nil && st.elsewhere(table):
		return st.ofDefault(family), ""
	case a == nil:
		return st.instead(false, family, "its table has no usable route: ")
	case len(a.Uplinks) == 0 && st.lacks(table, family):
		return nil, ""
	case len(a.Uplinks) == 0:
		return st.instead(true, family, "its table has no usable route: ")
	case a.Kept:
		return a.Uplinks, "its table has no usable uplink, and still uses the last one"
	default:
		return a.Uplinks, ""
	}
}

// elsewhere reports whether a table has routes, of another IP version or to some destinations: then
// it is not meant to have one to everywhere.
func (st *steering) elsewhere(table string) bool {
	return slices.ContainsFunc(st.status.Tables, func(t tableStatus) bool { return t.Name == table && len(t.Active) > 0 })
}

// lacks reports whether a strict table has routes for the other IP version alone.
func (st *steering) lacks(table string, family plan.Family) bool {
	for _, other := range plan.Families {
		if a := st.best(table, other); other != family && a != nil && len(a.Uplinks) > 0 {
			return !slices.ContainsFunc(a.Uplinks, func(u string) bool { return st.outline.Carries(u, family) })
		}
	}
	return false
}

func (st *steering) ofBalance(target daemon.OutlineTarget, family plan.Family) (uplinks []string, fault string) {
	var dead []string
	for _, b := range st.status.Balances {
		for _, m := range b.Members {
			switch {
			case b.Name != target.Name:
			case slices.Contains(m.Usable, int(family)) && !st.linkDown(m.Name, family):
				uplinks = append(uplinks, st.ofMember(m.Name, family)...)
			case (len(m.Usable) == 0 || st.linkDown(m.Name, family)) && st.mayCarry(m.Name, family):
				dead = append(dead, m.Name)
			}
		}
	}
	switch {
	case len(uplinks) == 0 && len(dead) == 0: // none of them carries this version
		return st.instead(target.Strict, family, "")
	case len(uplinks) == 0:
		return st.instead(target.Strict, family, "no member is usable: ")
	case len(dead) > 0:
		fault = "not usable: " + strings.Join(dead, ", ")
	}
	slices.Sort(uplinks)
	return slices.Compact(uplinks), fault
}

// mayCarry reports whether a balance's member, an uplink or a table, can carry an IP version: of a
// table that is known only where no uplink carries the version.
func (st *steering) mayCarry(member string, family plan.Family) bool {
	if st.outline.Interface(member) != "" {
		return st.outline.Carries(member, family)
	}
	return slices.ContainsFunc(st.outline.Uplinks, func(u daemon.OutlineUplink) bool { return slices.Contains(u.Families, family) })
}

// ofMember are the uplinks of a balance's member, an uplink or a table.
func (st *steering) ofMember(name string, family plan.Family) []string {
	if a := st.best(name, family); a != nil {
		return a.Uplinks
	}
	return []string{name}
}
