package compiler

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// usableMembers returns the members of a balance that connections of the family can use: those with
// a route over an uplink that is up. When there is none, those that were the last to go down stay,
// as in a table: a wrong verdict must not turn bad lines into none. A strict table does not: it
// leads nowhere then. Nor does any for a strict policy, and nor do uplinks whose quota is used up.
func (c *compilation) usableMembers(b balanceUse, family plan.Family) []policy.Member {
	if !slices.Contains(c.families(), family) {
		return nil
	}
	var up, last []policy.Member
	latest := 0
	for _, m := range b.Members {
		ready, down := c.memberState(m.Target, family, b.strict)
		switch {
		case !ready:
		case down == 0:
			up = append(up, m)
		case c.strict(m.Target) || down < latest:
		case down > latest:
			last, latest = []policy.Member{m}, down
		default:
			last = append(last, m)
		}
	}
	if len(up) > 0 || b.strict {
		return up
	}
	return last
}

// memberState reports whether a member has a route of the family that the machine can take, and
// when the last uplink of these went down, as in Health; 0 while one is up.
func (c *compilation) memberState(t policy.Target, family plan.Family, strict bool) (ready bool, down int) {
	order := func(uplink string) int {
		if strict && c.down.closed(uplink, family) {
			return max(c.down.Order(uplink, family), 1)
		}
		return c.down.Order(uplink, family)
	}
	if t.Kind == policy.ToUplink {
		_, ready = c.hop(c.uplinks[t.Name], family)
		return ready && !c.down.spent(t.Name, family), order(t.Name)
	}
	strict = strict || c.strict(t)
	routes := slices.DeleteFunc(c.readyRoutes(c.doc.Table(t.Name), family),
		func(r readyRoute) bool { return c.down.spent(r.Uplink, family) })
	for _, r := range routes {
		if order(r.Uplink) == 0 {
			return true, 0
		}
		down = max(down, order(r.Uplink))
	}
	return len(routes) > 0, down
}

func (c *compilation) strict(t policy.Target) bool {
	table := c.doc.Table(t.Name)
	return t.Kind == policy.ToTable && table != nil && table.Strict
}
