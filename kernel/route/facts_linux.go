package route

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// AllRules lists every ip rule, of both families.
func (c *Conn) AllRules() ([]plan.Rule, error) {
	var out []plan.Rule
	for _, family := range plan.Families {
		rules, err := c.rules(family)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			out = append(out, r.Rule)
		}
	}
	return out, nil
}

// Defaults returns those of the tables that the rules look up which have a default route, sorted.
func (c *Conn) Defaults(rules []plan.Rule) ([]facts.Table, error) {
	var out []facts.Table
	seen := map[facts.Table]bool{}
	for _, r := range rules {
		t := facts.Table{Family: r.Family, ID: r.Table}
		if r.Action != plan.ActLookup || r.Protocol == plan.Protocol || r.Table == 0 || seen[t] {
			continue
		}
		seen[t] = true
		routes, err := c.routes(t.Family, t.ID, 0)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(routes, func(r liveRoute) bool { return plan.CountsAsDefault(r.Dst) }) {
			out = append(out, t)
		}
	}
	return out, nil
}

// HalfDefaults returns main's routes that count as default routes and are to a part of the addresses only.
func (c *Conn) HalfDefaults() ([]plan.Route, error) {
	var out []plan.Route
	for _, family := range plan.Families {
		routes, err := c.routes(family, plan.MainTable, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if r.Kind == plan.Unicast && r.Dst.Bits() > 0 && plan.CountsAsDefault(r.Dst) {
				out = append(out, r.Route)
			}
		}
	}
	return out, nil
}

// Others returns the routes of others in the tables.
func (c *Conn) Others(tables []uint32) ([]plan.Route, error) {
	_, routes, err := c.Read(nil, tables)
	return slices.DeleteFunc(routes, func(r plan.Route) bool { return r.Protocol == plan.Protocol }), err
}

// Ports returns the interfaces that belong to another one (bridge, bond, VRF is none), with its name.
func (c *Conn) Ports() (map[string]string, error) {
	links, err := untilWhole(c.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		if l.Type() != "vrf" {
			names[l.Attrs().Index] = l.Attrs().Name
		}
	}
	out := map[string]string{}
	for _, l := range links {
		if master := names[l.Attrs().MasterIndex]; master != "" {
			out[l.Attrs().Name] = master
		}
	}
	return out, nil
}
