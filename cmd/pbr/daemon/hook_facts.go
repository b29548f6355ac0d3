package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// facts returns what scripts for dynamic DNS, firewalls and VPNs need besides an event: the
// uplink's present state, and who uses which uplink.
func (w *Watcher) facts(u *policy.Uplink, active map[string][]string) (list []string) {
	add := func(name string, values ...string) { list = append(list, "PBR_"+name+"="+strings.Join(values, " ")) }
	link := w.host.Links[u.Interface]
	for _, family := range plan.Families {
		var addrs []string
		for _, a := range link.Addrs {
			if plan.FamilyOf(a) == family {
				addrs = append(addrs, a.String())
			}
		}
		gw := ""
		if a := nextHop(u, link, family); a.IsValid() {
			gw = a.String()
		}
		add(fmt.Sprintf("ADDRESS%d", family), addrs...)
		add(fmt.Sprintf("GATEWAY%d", family), gw)
		add(fmt.Sprintf("STATE%d", family), string(w.health.statuses[compiler.UplinkVersion{Uplink: u.Name, Family: family}].State))
	}
	for _, table := range w.doc.TableNames() {
		add("ACTIVE_"+policy.EnvironmentName(table), active[table]...)
	}
	return list
}

// nextHop is an uplink's gateway, invalid if it has none or none is known.
func nextHop(u *policy.Uplink, link plan.Link, family plan.Family) netip.Addr {
	if gw := compiler.Gateway(u, family); !gw.Auto {
		return gw.Addr
	}
	via, _ := link.Gateway(family)
	return via
}

// activeUplinks are the uplinks that tables use in either IP version, in the policy's order.
func activeUplinks(o *Outline, have *plan.Plan) map[string][]string {
	used := map[uint32]map[string]bool{}
	for _, family := range plan.Families {
		for at, r := range have.BestRoutes(family) {
			for _, h := range r.Hops {
				if used[at.Table] == nil {
					used[at.Table] = map[string]bool{}
				}
				used[at.Table][h.Dev] = true
			}
		}
	}
	active := map[string][]string{}
	for _, table := range o.Tables {
		active[table] = []string{}
		for _, u := range o.Uplinks {
			if used[o.Table(table)][u.Interface] && !slices.Contains(active[table], u.Name) {
				active[table] = append(active[table], u.Name)
			}
		}
	}
	return active
}
