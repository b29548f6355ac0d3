package kernel

import (
	"fmt"
	"maps"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
)

// movedPrefix begins the names of the objects that a ruleset has only while connections carry marks
// of earlier plans.
const movedPrefix = "moved-"

// transitional returns a plan's ruleset for the time in which connections still carry marks of
// earlier plans. Each base chain that reads connection marks looks up the earlier marks first, and
// treats the packet as if it had the successor's mark. Packets of a strict table that is gone are
// dropped until its connections are deleted. Marks that the plan itself uses for other names are
// omitted.
func transitional(want *plan.Plan, r *conntrack.Migration) plan.Ruleset {
	m := &moved{want: want, chains: map[string]plan.Chain{}}
	stale := r.Stale()
	for _, mask := range slices.Sorted(maps.Keys(stale)) {
		m.addMap(r, mask, stale[mask])
	}
	return m.ruleset()
}

// refusing returns a ruleset that drops packets of connections that are parked, and pins no new
// ones: it drops their first packets.
func refusing(rules *plan.Ruleset, r *conntrack.Migration, parked place) plan.Ruleset {
	out := *rules
	out.Chains = slices.Clone(rules.Chains)
	for i := range out.Chains {
		c := &out.Chains[i]
		c.Rules = slices.Clone(c.Rules)
		for j := range c.Rules {
			if pins(c.Rules[j].Actions) {
				c.Rules[j].Actions = []plan.Action{plan.Drop{}}
			}
		}
	}
	m := &moved{want: &plan.Plan{Mask: r.Want.Mask, Ruleset: out}, chains: map[string]plan.Chain{}}
	m.addMap(r, parked.mask, []uint32{parked.mark})
	return m.ruleset()
}

// pins reports whether actions give a connection a mark.
func pins(actions []plan.Action) bool {
	return slices.ContainsFunc(actions, func(a plan.Action) bool {
		set, ok := a.(plan.SetCTMark)
		return ok && set.Value != 0
	})
}

// ruleset returns the ruleset with what was collected.
func (m *moved) ruleset() plan.Ruleset {
	if len(m.sets) == 0 {
		return m.want.Ruleset
	}
	out := m.want.Ruleset
	out.Sets = m.joined(out.Sets)
	out.Chains = nil
	for _, name := range slices.Sorted(maps.Keys(m.chains)) {
		out.Chains = append(out.Chains, m.chains[name])
	}
	for _, c := range m.want.Ruleset.Chains {
		if _, again := m.chains[c.Name]; !again {
			out.Chains = append(out.Chains, m.before(c))
		}
	}
	p := &plan.Plan{Ruleset: out}
	plan.Sort(p)
	return p.Ruleset
}

// joined returns a ruleset's sets with those that were collected. A ruleset in force that an apply
// left when it was killed may have some of them: their other elements stay.
func (m *moved) joined(sets []plan.Set) []plan.Set {
	out := slices.Clone(sets)
	for _, set := range m.sets {
		i := slices.IndexFunc(out, func(x plan.Set) bool { return x.Name == set.Name })
		if i < 0 {
			out = append(out, set)
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(out[i].Elements), func(e plan.Element) bool {
			return slices.ContainsFunc(set.Elements, func(x plan.Element) bool { return x.From == e.From })
		})
		out[i].Elements = slices.Concat(rest, set.Elements)
	}
	return out
}

// moved collects what transitional adds.
type moved struct {
	want   *plan.Plan
	sets   []plan.Set
	lookup []plan.Action
	chains map[string]plan.Chain
}

// addMap adds the map of the earlier marks under one mask.
func (m *moved) addMap(r *conntrack.Migration, mask uint32, marks []uint32) {
	set := plan.Set{Name: fmt.Sprintf("%s%08x", movedPrefix, mask), Type: plan.TypeMark, Map: true,
		Comment: "ct mark of an earlier policy: its successor"}
	for _, mark := range marks {
		bits, _, _ := r.Meaning(mark)
		if r.Ambiguous(mark, mask) {
			continue
		}
		var chain string
		switch {
		case bits != 0:
			bits &= m.want.NumberMask() // -- which is what a packet's mark has
			chain = m.addChain(fmt.Sprintf("%sto-%08x", movedPrefix, bits), plan.SetMark{Mask: m.want.Mask, Value: bits}, plan.Accept{})
		case r.Orphaned(mark):
			chain = m.addChain(movedPrefix+"nowhere", plan.Drop{})
		default:
			continue
		}
		k := plan.KeyFromUint32(mark)
		set.Elements = append(set.Elements, plan.Element{From: k, To: k, Goto: chain})
	}
	if set.Elements != nil {
		m.sets = append(m.sets, set)
		m.lookup = append(m.lookup, plan.VMap{Field: plan.FieldCTMark, Mask: mask, Set: set.Name})
	}
}

func (m *moved) addChain(name string, actions ...plan.Action) string {
	m.chains[name] = plan.Chain{Name: name, Rules: []plan.ChainRule{{Actions: actions}}}
	return name
}

// before puts the look-ups in front of a base chain's own last one, which is for connections opened
// by either side. Rules that come before it there (for packets that arrive on an uplink) also come
// before them, except those that depend on the mark.
func (m *moved) before(c plan.Chain) plan.Chain {
	at := len(c.Rules) - 1
	for at >= 0 && !m.looksUpCTMark(c.Rules[at]) {
		at--
	}
	if c.Hook == "" || at < 0 {
		return c
	}
	var rules []plan.ChainRule
	for _, r := range c.Rules[:at] {
		if !m.looksUpCTMark(r) && !slices.ContainsFunc(r.Matches, func(x plan.Match) bool { return x.Field == plan.FieldCTMark }) {
			rules = append(rules, r)
		}
	}
	for _, a := range m.lookup {
		rules = append(rules, plan.ChainRule{Actions: []plan.Action{a}, Comment: "mark of an earlier policy"})
	}
	c.Rules = slices.Concat(rules, c.Rules)
	return c
}

// looksUpCTMark reports whether a rule looks the connection's mark up, or the chain that it leads
// to does.
func (m *moved) looksUpCTMark(r plan.ChainRule) bool {
	return slices.ContainsFunc(r.Actions, func(a plan.Action) bool {
		look, ok := a.(plan.VMap)
		next := plan.Uses(a)
		return ok && look.Field == plan.FieldCTMark || next.Kind == plan.ObjectChain && m.restores(next.Name)
	})
}

func (m *moved) restores(chain string) bool {
	return slices.ContainsFunc(m.want.Ruleset.Chains, func(c plan.Chain) bool {
		return c.Name == chain && slices.ContainsFunc(c.Rules, func(r plan.ChainRule) bool {
			return slices.ContainsFunc(r.Actions, func(a plan.Action) bool {
				look, ok := a.(plan.VMap)
				return ok && look.Field == plan.FieldCTMark
			})
		})
	})
}
