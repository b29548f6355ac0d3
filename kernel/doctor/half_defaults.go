package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// halfDefaults judges main's half-default routes, which VPN programs add to send everything through
// their tunnel.
func (e *examination) halfDefaults() {
	byDev := map[string][]string{}
	var devs []string
	for i := range e.facts.HalfDefaults {
		r := &e.facts.HalfDefaults[i]
		dev := devices(r)
		if byDev[dev] == nil {
			devs = append(devs, dev)
		}
		byDev[dev] = append(byDev[dev], r.Dst.String())
	}
	for _, dev := range devs {
		e.halfDefault(dev, few(byDev[dev], ", "))
	}
}

func (e *examination) halfDefault(dev, routes string) {
	subject := "half-default routes"
	text := fmt.Sprintf("main sends %s through %s: pbr treats them as default routes, so policies and "+
		"strict tables come before them", routes, dev)
	switch {
	case e.Doc == nil || e.Doc.Default == nil:
		e.add(Warn, subject, "write [default] into the policy if the rest must not use them (docs/vpn.md)",
			"%s; there is no [default], so what no policy catches uses them", text)
	case e.defaultUses(dev):
		e.ok(subject, "%s, and so does [default]: %s is one of its uplinks", text, dev)
	default:
		e.add(Warn, subject, fmt.Sprintf(
			"if everything should use %s, make it the first uplink of [default], or omit [default]; if not, "+
				"stop the VPN program from adding them, for example with route-nopull (docs/vpn.md)", dev),
			"%s, and so does [default]: nothing uses them", text)
	}
}

// defaultUses reports whether one of [default]'s uplinks is the interface.
func (e *examination) defaultUses(dev string) bool {
	return slices.ContainsFunc(e.Doc.Default.Routes, func(r policy.Route) bool {
		return slices.ContainsFunc(e.Doc.Uplinks, func(u policy.Uplink) bool { return u.Name == r.Uplink && u.Interface == dev })
	})
}

// devices names the interfaces that a route uses.
func devices(r *plan.Route) string {
	var names []string
	for _, h := range r.Hops {
		names = append(names, h.Dev)
	}
	return strings.Join(names, ", ")
}
