package daemon

import (
	"slices"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Outline has what is needed of a policy and its plan to explain the kernel's objects, so that a
// watch's policy can be shown without its file, which may have changed since.
type Outline struct {
	Mask uint32 `json:"mask"`
	// Inside is the plan's: the bit of Mask that is of no number.
	Inside       uint32        `json:"inside,omitempty"`
	BasePriority uint32        `json:"base_priority"`
	Numbers      []plan.Number `json:"numbers"`
	// Uplinks are in the policy's order.
	Uplinks []OutlineUplink `json:"uplinks"`
	// Tables are the policy's, default last.
	Tables []string `json:"tables"`
	// Policies are those that name uplinks.
	Policies []OutlinePolicies `json:"policies"`
	// Balances are those that policies use.
	Balances []OutlineBalance `json:"balances"`
	// Selectors are all policies, Rules all stateless rules.
	Selectors []OutlineSelector `json:"selectors"`
	Rules     []OutlineRule     `json:"rules"`
	// Comments are those of the objects, by kind and name ("uplink isp1").
	Comments map[string]string `json:"comments,omitempty"`
	Disabled []OutlineDisabled `json:"disabled,omitempty"`
	// Scheduled means that a policy depends on the time.
	Scheduled bool `json:"scheduled,omitempty"`
	// Domains means that DNS answers fill a list.
	Domains bool `json:"domains,omitempty"`
}

// OutlineUplink is an uplink.
type OutlineUplink struct {
	Name      string `json:"name"`
	Interface string `json:"interface"`
	// Families are the IP versions that the policy explicitly makes it carry: a point-to-point
	// device may lack IPv6.
	Families []plan.Family `json:"families"`
}

// OutlineBalance is a balance.
type OutlineBalance struct {
	Name   string `json:"name"`
	Sticky bool   `json:"sticky"`
	// Strict means that only strict policies use it.
	Strict  bool            `json:"strict,omitempty"`
	Members []OutlineMember `json:"members"`
}

// OutlineMember is an uplink or a table of a balance.
type OutlineMember struct {
	Name   string `json:"name"`
	Weight int    `json:"weight"`
	Mark   uint32 `json:"mark"`
}

// NewOutline extracts it from a policy and its plan.
func NewOutline(doc *policy.Document, want *plan.Plan) Outline {
	o := Outline{Mask: want.Mask, Inside: want.Inside, BasePriority: want.BasePriority, Numbers: want.Numbers}
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		out := OutlineUplink{Name: u.Name, Interface: u.Interface}
		if u.Gateway.Present {
			out.Families = append(out.Families, plan.IPv4)
		}
		if u.Gateway6.Present && !u.Gateway6.Implicit {
			out.Families = append(out.Families, plan.IPv6)
		}
		o.Uplinks = append(o.Uplinks, out)
	}
	for i := range doc.Tables {
		o.Tables = append(o.Tables, doc.Tables[i].Name)
	}
	if doc.Default != nil {
		o.Tables = append(o.Tables, doc.Default.Name)
	}
	o.Policies, o.Selectors, o.Rules = outlinePolicies(doc), outlineSelectors(doc), outlineRules(doc)
	o.Comments, o.Disabled = outlineComments(doc), outlineDisabled(doc)
	o.Scheduled, o.Domains = policy.HasSchedule(doc), policy.HasDomains(doc)
	marks := map[string]uint32{}
	for _, n := range want.Numbers {
		marks[n.Name] = n.Mark
	}
	for i := range doc.Balances {
		b := &doc.Balances[i]
		used := func(strict bool) bool {
			name := compiler.UsableMembersSet(b.Name, strict, plan.IPv4)
			return slices.ContainsFunc(want.Ruleset.Sets, func(s plan.Set) bool { return s.Name == name })
		}
		out := OutlineBalance{Name: b.Name, Sticky: b.Sticky.Time > 0, Strict: !used(false)}
		if out.Strict && !used(true) {
			continue // no policy leads to it
		}
		for _, m := range b.Members {
			out.Members = append(out.Members, OutlineMember{m.Target.Name, m.Weight, marks[m.Target.Name]})
		}
		o.Balances = append(o.Balances, out)
	}
	return o
}

// Table returns the number of a table's routing table; 0 if there is none.
func (o *Outline) Table(name string) uint32 {
	for _, n := range o.Numbers {
		if n.Name == name {
			return n.Table
		}
	}
	return 0
}

// Mark returns the mark that sends packets into a table; 0 if there is none.
func (o *Outline) Mark(name string) uint32 {
	for _, n := range o.Numbers {
		if n.Name == name {
			return n.Mark
		}
	}
	return 0
}

// Interface returns an uplink's interface; empty if there is no such uplink.
func (o *Outline) Interface(uplink string) string {
	for _, u := range o.Uplinks {
		if u.Name == uplink {
			return u.Interface
		}
	}
	return ""
}
