package walk

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
)

// Evaluator is a ruleset made ready for packets. It never changes.
type Evaluator struct {
	ruleset  *plan.Ruleset
	counters map[string]bool
	chains   map[string]*chain
	sets     map[string]*set
}

// chain is a chain with its rules ready.
type chain struct {
	plan  *plan.Chain
	rules []rule
}

type rule struct {
	plan    *plan.ChainRule
	matches []match
	actions []action
}

// match is a match with its values as numbers.
type match struct {
	field    plan.Field
	mask     uint32
	not      bool
	set      *set
	from, to num
	// family is false where the rule knows the protocol and so does not ask for the family of an
	// ICMP type.
	family bool
}

// action is an action with what it refers to.
type action struct {
	plan  plan.Action
	chain *chain
	set   *set
	// fields are what the set is looked up by, or what is hashed; masks the bits of each that
	// count, and mask those of marks.
	fields []plan.Field
	masks  []num
	mask   uint32
	// mod is how many numbers there are, where the set is looked up by a computed one; else 0.
	mod uint32
	// turn numbers the CycleVMap rules, each of which counts for itself.
	turn int
}

// New makes a ruleset ready. It fails where the kernel would refuse it: names that are not there,
// chains that lead back to themselves, elements that overlap; and for rules that are none of pbr's,
// which nobody can evaluate.
func New(rs *plan.Ruleset) (*Evaluator, error) {
	e := &Evaluator{ruleset: rs, counters: make(map[string]bool, len(rs.Counters)),
		chains: make(map[string]*chain, len(rs.Chains)), sets: make(map[string]*set, len(rs.Sets))}
	for i := range rs.Counters {
		e.counters[rs.Counters[i].Name] = true
	}
	for i := range rs.Sets {
		s, err := newSet(&rs.Sets[i])
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", rs.Sets[i].Name, err)
		}
		e.sets[rs.Sets[i].Name] = s
	}
	for i := range rs.Chains {
		e.chains[rs.Chains[i].Name] = &chain{plan: &rs.Chains[i]}
	}
	for i := range rs.Sets {
		if err := e.checkTargets(e.sets[rs.Sets[i].Name]); err != nil {
			return nil, fmt.Errorf("set %s: %w", rs.Sets[i].Name, err)
		}
	}
	turns := 0
	for i := range rs.Chains {
		c := e.chains[rs.Chains[i].Name]
		c.rules = make([]rule, len(c.plan.Rules))
		for j := range c.plan.Rules {
			if err := e.rule(&c.rules[j], &c.plan.Rules[j], &turns); err != nil {
				return nil, fmt.Errorf("chain %s: rule %d: %w", c.plan.Name, j+1, err)
			}
		}
	}
	return e, e.checkLoops()
}

func (e *Evaluator) checkTargets(s *set) error {
	if !s.plan.Map || s.plan.Dynamic {
		return nil
	}
	for i := range len(s.plan.Elements) + len(s.plan.Tuples) {
		if name, _ := s.verdict(i); e.chains[name] == nil {
			return fmt.Errorf("element %d leads to a missing chain %q", i, name)
		}
	}
	return nil
}

func (e *Evaluator) rule(r *rule, p *plan.ChainRule, turns *int) error {
	if p.Foreign != "" {
		return fmt.Errorf("not one of pbr's: %s", p.Foreign)
	}
	r.plan = p
	proto := uint8(0)
	for i := range p.Matches {
		pm := &p.Matches[i]
		m := match{field: pm.Field, mask: pm.Mask, not: pm.Not, from: numOf(&pm.From), to: numOf(&pm.To), family: true}
		switch {
		case pm.Field.Type() == 0:
			return fmt.Errorf("unknown field %d", pm.Field)
		case pm.Set != "":
			if m.set = e.sets[pm.Set]; m.set == nil || m.set.plan.Type != pm.Field.Type() {
				return fmt.Errorf("set %q is missing, or of another type", pm.Set)
			}
		case pm.Wildcard:
			k := plan.MaxKey(plan.TypeIfname)
			copy(k[:], pm.From.Text())
			m.to = numOf(&k)
		}
		if pm.Field == plan.FieldL4Proto && pm.IsValue(plan.FieldL4Proto, pm.From[0]) {
			proto = pm.From[0]
		}
		m.family = proto == 0 || proto != pm.Field.Protocol()
		r.matches = append(r.matches, m)
	}
	for i := range p.Actions {
		a, err := e.action(p.Actions[i], turns)
		if err != nil {
			return err
		}
		r.actions = append(r.actions, a)
	}
	return nil
}

func (e *Evaluator) action(p plan.Action, turns *int) (a action, err error) {
	a.plan = p
	switch p := p.(type) {
	case plan.VMap:
		return a, e.lookUp(&a, p.Set, plan.FieldList{p.Field}, plan.PrefixList{p.Prefix}, p.Mask)
	case plan.ConcatVMap:
		return a, e.lookUp(&a, p.Set, p.Fields, p.Prefixes, 0)
	case plan.HashVMap:
		return a, e.choose(&a, p.Set, p.Mod, p.Fields)
	case plan.CycleVMap:
		a.turn = *turns
		*turns++
		return a, e.choose(&a, p.Set, p.Mod, plan.FieldList{})
	case plan.RandomVMap:
		return a, e.choose(&a, p.Set, p.Mod, plan.FieldList{})
	case plan.RecallCTMark:
		return a, e.lookUp(&a, p.Set, plan.FieldList{p.Field}, plan.PrefixList{p.Prefix}, 0)
	case plan.Remember:
		return a, e.lookUp(&a, p.Set, plan.FieldList{p.Field}, plan.PrefixList{p.Prefix}, 0)
	case plan.Forget:
		return a, e.lookUp(&a, p.Set, plan.FieldList{p.Field}, plan.PrefixList{p.Prefix}, 0)
	case plan.Accept, plan.Drop, plan.Jump, plan.Goto, plan.SetMark, plan.SetCTMark, plan.Count,
		plan.Log, plan.Limit, plan.Masquerade,
		plan.SNAT, plan.Offload, plan.Queue, plan.QueueTarget, plan.LogGroup:
	default:
		return a, fmt.Errorf("unknown action %T", p)
	}
	uses := plan.Uses(p)
	switch uses.Kind {
	case plan.ObjectChain:
		if a.chain = e.chains[uses.Name]; a.chain == nil {
			return a, fmt.Errorf("chain %q is missing", uses.Name)
		}
	case plan.ObjectCounter:
		if !e.counters[uses.Name] {
			return a, fmt.Errorf("counter %q is missing", uses.Name)
		}
	}
	return a, nil
}

// lookUp fills in a look-up by fields of the packet.
func (e *Evaluator) lookUp(a *action, name string, fields plan.FieldList, prefixes plan.PrefixList, mask uint32) (err error) {
	if a.set, err = e.mapOf(name, false); err != nil {
		return err
	}
	if err := a.reads(fields, prefixes, mask); err != nil {
		return err
	}
	types := a.set.plan.Concat
	if len(types) == 0 {
		types = []plan.Type{a.set.plan.Type}
	}
	if !slices.EqualFunc(a.fields, types, func(f plan.Field, t plan.Type) bool { return f.Type() == t }) {
		return fmt.Errorf("the keys of map %s are %s", name, a.set.plan.TypeName())
	}
	return nil
}

// choose fills in a look-up by a number that is computed, for HashVMap from fields.
func (e *Evaluator) choose(a *action, name string, mod uint32, fields plan.FieldList) (err error) {
	if a.set, err = e.mapOf(name, true); err != nil {
		return err
	}
	if a.mod = mod; mod == 0 {
		return fmt.Errorf("the numbers for map %q have no modulus", name)
	}
	return a.reads(fields, plan.PrefixList{}, 0)
}

// mapOf returns a map, whose keys have to be computed numbers or none.
func (e *Evaluator) mapOf(name string, numbers bool) (*set, error) {
	s := e.sets[name]
	if s == nil || !s.plan.Map {
		return nil, fmt.Errorf("map %q is missing", name)
	}
	if numbers != (s.plan.Type == plan.TypeNumber) {
		return nil, fmt.Errorf("map %q is looked up by what its keys are not", name)
	}
	return s, nil
}

// reads fills in the fields that the action reads, and which of their bits count.
func (a *action) reads(fields plan.FieldList, prefixes plan.PrefixList, mask uint32) error {
	a.fields, a.mask = fields.List(), mask
	for i, f := range a.fields {
		if f.Type() == 0 {
			return fmt.Errorf("unknown field %d", f)
		}
		bits := plan.MaxKey(f.Type())
		if prefixes[i] > 0 {
			bits = plan.PrefixMask(f.Type(), int(prefixes[i]))
		}
		if mask != 0 {
			bits = plan.KeyFromUint(f.Type(), mask)
		}
		a.masks = append(a.masks, numOf(&bits))
	}
	return nil
}

// checkLoops refuses chains that lead back to themselves, as the kernel does.
func (e *Evaluator) checkLoops() error {
	const under, done = 1, 2
	state := make(map[*chain]int, len(e.chains))
	var visit func(c *chain) error
	visit = func(c *chain) error {
		switch state[c] {
		case under:
			return fmt.Errorf("chain %s leads back to itself", c.plan.Name)
		case done:
			return nil
		}
		state[c] = under
		for _, next := range e.targets(c) {
			if err := visit(next); err != nil {
				return err
			}
		}
		state[c] = done
		return nil
	}
	for i := range e.ruleset.Chains {
		if err := visit(e.chains[e.ruleset.Chains[i].Name]); err != nil {
			return err
		}
	}
	return nil
}

// targets are the chains that c's rules lead to.
func (e *Evaluator) targets(c *chain) (out []*chain) {
	for i := range c.rules {
		for j := range c.rules[i].actions {
			a := &c.rules[i].actions[j]
			if a.chain != nil {
				out = append(out, a.chain)
			}
			if a.set == nil || a.set.plan.Dynamic {
				continue
			}
			for k := range len(a.set.plan.Elements) + len(a.set.plan.Tuples) {
				name, _ := a.set.verdict(k)
				out = append(out, e.chains[name])
			}
		}
	}
	return out
}
