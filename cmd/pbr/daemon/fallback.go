package daemon

import (
	"fmt"
	"slices"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// OutlinePolicies are the policies that name the same uplink and are equally strict.
type OutlinePolicies struct {
	Uplink string `json:"uplink"`
	Strict bool   `json:"strict,omitempty"`
	// Names are in the policy's order.
	Names []string `json:"names"`
}

// Fallback means that policies cannot use their uplink in some IP versions.
type Fallback struct {
	OutlinePolicies
	Families []plan.Family `json:"families"`
}

// String describes it for people.
func (f Fallback) String() string {
	instead := "use default"
	if f.Strict {
		instead = "are unreachable"
	}
	of := ""
	if len(f.Families) == 1 {
		of = fmt.Sprintf("IPv%d ", f.Families[0])
	}
	return fmt.Sprintf("%s: new %sconnections %s: uplink %s is not usable", policiesText(f.Names), of, instead, f.Uplink)
}

// policiesText names policies, the first of many.
func policiesText(names []string) string {
	if len(names) == 1 {
		return "policy " + names[0]
	}
	return "policies " + first(names)
}

// outlinePolicies gathers the policies that name uplinks, by uplink and strictness, in the order of
// the first of each.
func outlinePolicies(doc *policy.Document) (list []OutlinePolicies) {
	type id struct {
		uplink string
		strict bool
	}
	at := map[id]int{}
	for i := range doc.Policies {
		p := &doc.Policies[i]
		if p.Target.Kind != policy.ToUplink {
			continue
		}
		k := id{p.Target.Name, p.Strict}
		n, seen := at[k]
		if !seen {
			n = len(list)
			at[k] = n
			list = append(list, OutlinePolicies{Uplink: k.uplink, Strict: k.strict})
		}
		list[n].Names = append(list[n].Names, p.Name)
	}
	return list
}

// Fallbacks returns the policies whose new connections of a version cannot use their uplink,
// although it carries that version, according to a plan or the kernel's state.
func Fallbacks(o Outline, have *plan.Plan) (list []Fallback) {
	for _, p := range o.Policies {
		f := Fallback{OutlinePolicies: p}
		for _, family := range plan.Families {
			if o.Carries(p.Uplink, family) && !compiler.IsUsable(have, o.Numbers, p.Uplink, family, p.Strict) {
				f.Families = append(f.Families, family)
			}
		}
		if len(f.Families) > 0 {
			list = append(list, f)
		}
	}
	return list
}

// logFallbacks logs once which policies cannot use their uplink, and when that ends.
func (w *Watcher) logFallbacks() {
	now := Fallbacks(w.shared.outline(), w.want)
	same := func(list []Fallback, f Fallback) bool {
		return slices.ContainsFunc(list, func(o Fallback) bool {
			return o.Uplink == f.Uplink && o.Strict == f.Strict && slices.Equal(o.Families, f.Families)
		})
	}
	for _, f := range now {
		if !same(w.fallbacks, f) {
			w.Log.Warn(f.String())
		}
	}
	for _, f := range w.fallbacks {
		if !slices.ContainsFunc(now, func(o Fallback) bool { return o.Uplink == f.Uplink && o.Strict == f.Strict }) {
			w.Log.Info(fmt.Sprintf("%s: new connections use uplink %s again", policiesText(f.Names), f.Uplink))
		}
	}
	w.fallbacks = now
}

// Carries reports whether an uplink is configured to carry a family.
func (o *Outline) Carries(uplink string, family plan.Family) bool {
	return slices.ContainsFunc(o.Uplinks, func(u OutlineUplink) bool { return u.Name == uplink && slices.Contains(u.Families, family) })
}
