// Package layers turns a list of policies, of which the first that matches has the packet, into a
// few look-ups in maps.
//
// A policy is a set of boxes: an interval in each field of the packet. A box that one earlier box
// covers is dropped. Each other one goes into the layer after the deepest earlier one that it
// overlaps, so that the boxes of a layer are apart from each other and one look-up finds the only
// one that has the packet. Layers are looked up in their order: of all boxes that have a packet,
// the first overlaps the others and so is in the first layer.
//
// What no map can hold stays a rule: it has its place among the layers, by the boxes that surely
// contain it.
//
// The result is a pure function of the policies, the same on every machine.
package layers

import (
	"pbr/compiler/plan"
	"pbr/compiler/slab"
)

// Policy is one policy of the list.
type Policy struct {
	// Name is unique; its chain is "policy-" and the name.
	Name string
	// Selections are alternatives: the policy has a packet that meets all matches of one of them.
	Selections [][]plan.Match
	// Body returns what is done with the packet, rules without matches. The last one ends the
	// packet's way. Policies that are Direct need none in maps.
	Body func() []plan.ChainRule
	// Direct is, if Body does no more than count the packet and go to a chain, that chain. An
	// element leads there without a chain of the policy's, and counts for Counter.
	Direct, Counter string
}

// Form says how to compile a list.
type Form uint8

const (
	// Cheapest makes what costs a packet the least by the model in cost.go; a short list stays one.
	Cheapest Form = iota
	// List makes a rule of each selection: the plain form, which the others are compared with.
	List
	// Maps makes maps also where rules would be cheaper, so that small policies try them.
	Maps
	// Masks makes maps as Maps does, and of the maps by exact keys also where intervals would be
	// cheaper.
	Masks
)

// Result is what a list becomes.
type Result struct {
	Rules []plan.ChainRule
	// Sets are the maps that the rules look up, by name.
	Sets []plan.Set
	// Chains are the chains of the policies that the maps lead to and that are not Direct, in the
	// order of the policies.
	Chains []plan.Chain
}

// ChainOf is the name of the chain of a policy.
func ChainOf(policy string) string { return "policy-" + policy }

// Build makes the rules of the chain of that name. lookUp returns the set of a name that matches
// refer to, with all that it will ever hold, or nil if packets or others change it.
func Build(chain string, policies []Policy, lookUp func(name string) *plan.Set, form Form) *Result {
	b := &builder{chain: chain, policies: policies, lookUp: lookUp, form: form}
	selections := 0
	for i := range policies {
		selections += len(policies[i].Selections)
	}
	listed := nanoseconds(selections) * costRule
	if form == List || form == Cheapest && listed <= costOfReadable {
		return b.list()
	}
	b.expand()
	b.shapes = shapesOf(b.boxes)
	l := b.assign()
	steps, cost := b.steps(l)
	if b.keepWhole(steps) {
		l = b.assign()
		steps, cost = b.steps(l)
	}
	if form == Cheapest && listed <= cost {
		return b.list()
	}
	return b.emit(steps)
}

// builder is the state of one Build.
type builder struct {
	chain    string
	policies []Policy
	lookUp   func(name string) *plan.Set
	form     Form
	// sets has what is in the sets that were looked up.
	sets  map[string]keySpans
	items []item
	boxes []box
	// spans has the intervals of all boxes.
	spans slab.Of[keySpan]
	// shapes are those of the boxes.
	shapes *shapes
	// single are the spans of the region that is read, chosen those of the box that is made.
	single []keySpan
	chosen [dimCount]keySpan
}

// list makes the plain form: the rules of each selection, in their order.
func (b *builder) list() *Result {
	out := &Result{}
	for i := range b.policies {
		for _, matches := range b.policies[i].Selections {
			out.Rules = append(out.Rules, withMatches(b.policies[i].Body(), matches)...)
		}
	}
	return out
}

// withMatches returns the rules of a body for packets that meet the matches.
func withMatches(body []plan.ChainRule, matches []plan.Match) []plan.ChainRule {
	rules := make([]plan.ChainRule, len(body))
	for i, r := range body {
		r.Matches = matches
		rules[i] = r
	}
	return rules
}
