package compiler

import (
	"cmp"
	"slices"
	"strconv"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
)

// A balance chooses for a connection's first packet, in a chain per family:
//
//	sticky: the member that the client had before, if it is usable
//	a member by hash, turn or chance; then another one, while it is not usable
//	each member in turn, until one is usable
//
// To choose is to put the member's number into the packet's mark, by a chain "try-MEMBER", which
// comes back; the number is then looked up among the usable ones. So a member that fails or comes
// back is one element less or more, and nothing changes for the connections of the others.

// rounds is how often a balance of more than two members chooses again before it takes the first
// usable one. With a member down that had half of the weight, this happens to 0.4 % of the
// connections.
const rounds = 8

// balanceObject is the name of a set or chain of a balance. A user's name cannot contain "/".
func balanceObject(balance, part string) string { return "balance-" + balance + "/" + part }

// balanceUse is a balance as policies use it: strict policies have chains and sets of usable
// members of their own.
type balanceUse struct {
	*policy.Balance
	strict bool
}

// object is the name of a set or chain that the two uses do not share.
func (b balanceUse) object(part string, family plan.Family) string {
	if b.strict {
		part += "strict-"
	}
	return balanceObject(b.Name, part+familySuffix(family))
}

func balanceChain(balance string, strict bool) string {
	if strict {
		return "balance-" + balance + strictSuffix
	}
	return "balance-" + balance
}

func usableMembersSet(balance string, strict bool, family plan.Family) string {
	return balanceUse{&policy.Balance{Name: balance}, strict}.object("usable-", family)
}

func tryChain(member string) string { return "try-" + member }

// addBalances adds the balances that policies use.
func (c *compilation) addBalances() {
	used := map[string]map[bool]bool{}
	for i := range c.doc.Policies {
		if p := &c.doc.Policies[i]; p.Target.Kind == policy.ToBalance {
			if used[p.Target.Name] == nil {
				used[p.Target.Name] = map[bool]bool{}
			}
			used[p.Target.Name][p.Strict] = true
		}
	}
	var balances []*policy.Balance
	strict := map[string]bool{}
	for i := range c.doc.Balances {
		if b := &c.doc.Balances[i]; used[b.Name] != nil {
			balances = append(balances, b)
			for _, m := range b.Members {
				strict[m.Target.Name] = strict[m.Target.Name] || used[b.Name][true]
			}
		}
	}
	c.addTryChains(balances)
	c.addStricter(strict)
	for _, b := range balances {
		choice := c.addSlots(b)
		if b.Sticky.Time > 0 {
			c.addClients(b)
		}
		for _, strict := range []bool{false, true} {
			if used[b.Name][strict] {
				c.addBalance(balanceUse{b, strict}, choice)
			}
		}
	}
}

// addStricter adds the chain that turns the mark of a member of a balance, which a strict policy's
// connection has found, into that of its strict variant.
func (c *compilation) addStricter(members map[string]bool) {
	s := plan.Set{Name: mapStricter, Type: plan.TypeMark, Map: true, Comment: "number of a balance's member: its strict table"}
	for name, strict := range members {
		if !strict {
			continue
		}
		e := single(plan.KeyFromUint32(c.numbers.mark(name)))
		if e.Goto = "mark-" + name + strictSuffix; c.numbers.mark(name+strictSuffix) == 0 {
			e.Goto = "mark-" + name // it is strict itself
		}
		s.Elements = append(s.Elements, e)
	}
	if s.Elements == nil {
		return
	}
	c.addSet(s)
	c.addChain(plan.Chain{Name: chainStricter, Rules: []plan.ChainRule{
		rule("strict policy: the member's strict table", nil, plan.VMap{Field: plan.FieldMark, Mask: c.mask, Set: mapStricter}),
	}})
}

// addTryChains adds, for each member of a balance, the chain that puts its number into the packet's
// mark and comes back.
func (c *compilation) addTryChains(balances []*policy.Balance) {
	var names []string
	sticky := false
	for _, b := range balances {
		sticky = sticky || b.Sticky.Time > 0
		for _, m := range b.Members {
			names = append(names, m.Target.Name)
		}
	}
	slices.Sort(names)
	var members []plan.Element
	for _, name := range slices.Compact(names) {
		mark := c.numbers.mark(name)
		c.addChain(plan.Chain{Name: tryChain(name), Rules: []plan.ChainRule{
			rule("table "+name, nil, plan.SetMark{Mask: c.mask, Value: mark}),
		}})
		members = append(members, jumpTo(single(plan.KeyFromUint32(mark)), name))
	}
	if sticky {
		c.addSet(plan.Set{Name: mapMembers, Type: plan.TypeMark, Map: true,
			Comment: "number of a balance's member: try it", Elements: members})
	}
}

func jumpTo(e plan.Element, member string) plan.Element {
	e.Goto, e.Jump = tryChain(member), true
	return e
}

func (c *compilation) addBalance(b balanceUse, choice plan.Action) {
	comment := "balance " + b.Name
	if b.strict {
		comment += ", strict"
	}
	for _, family := range plan.Families {
		name := b.object("usable-", family)
		var usable []plan.Element
		for _, m := range c.usableMembers(b, family) {
			usable = append(usable, c.routed(name, plan.KeyFromUint32(c.numbers.mark(m.Target.Name)), family, m.Target.Name))
		}
		c.addSet(plan.Set{Name: name, Type: plan.TypeMark, Comment: comment + ": members that IPv" +
			familySuffix(family) + " connections can use",
			Elements: usable})
	}
	if b.Sticky.Time > 0 {
		c.addKeepChains(b)
	}
	head := plan.Chain{Name: balanceChain(b.Name, b.strict)}
	for _, family := range plan.Families {
		chain := b.object("", family)
		head.Rules = append(head.Rules, rule(comment, when(plan.NFProto(family)), gotoChain(chain)))
		c.addChain(plan.Chain{Name: chain, Rules: c.choosing(b, family, choice)})
	}
	c.addChain(head)
}

// addSlots adds the map from numbers to members, and returns the action that computes a number and
// looks it up.
func (c *compilation) addSlots(b *policy.Balance) plan.Action {
	shares := make([]share, len(b.Members))
	for i, m := range b.Members {
		shares[i] = share{m.Target.Name, m.Weight}
	}
	exact, sum := reduced(shares)
	s := plan.Set{Name: balanceObject(b.Name, "slots"), Type: plan.TypeNumber, Map: true, Interval: true}
	var slots []int
	var choice plan.Action
	switch b.Method {
	case policy.BalanceRoundRobin:
		weights := make([]int, len(exact))
		for i := range exact {
			weights[i] = exact[i].weight
		}
		if sum > manySlots {
			weights, sum = quotas(shares, manySlots), manySlots
		}
		slots = turns(weights, sum)
		choice = plan.CycleVMap{Mod: uint32(len(slots)), Set: s.Name}
		s.Comment = "balance " + b.Name + ": whose turn it is"
	case policy.BalanceRandom:
		for i := range exact {
			slots = append(slots, slices.Repeat([]int{i}, exact[i].weight)...)
		}
		choice = plan.RandomVMap{Mod: uint32(len(slots)), Set: s.Name}
		s.Comment = "balance " + b.Name + ": members by weight"
	default:
		slots = dealt(shares, hashSlots(shares))
		choice = plan.HashVMap{Mod: uint32(len(slots)), Set: s.Name}
		s.Comment = "balance " + b.Name + ": members by hash"
		s.Interval = true // also after a change of weights, which then is one of elements only
	}
	for i := 0; i < len(slots); {
		end := i
		for end+1 < len(slots) && slots[end+1] == slots[i] {
			end++
		}
		e := plan.Element{From: plan.KeyFromUint32(uint32(i)), To: plan.KeyFromUint32(uint32(end))}
		s.Elements = append(s.Elements, jumpTo(e, b.Members[slots[i]].Target.Name))
		i = end + 1
	}
	c.addSet(s)
	return choice
}

// choosing returns the rules of a balance's chain for one family.
func (c *compilation) choosing(b balanceUse, family plan.Family, choice plan.Action) []plan.ChainRule {
	found := b.chosen()
	var rules []plan.ChainRule
	if b.Sticky.Time > 0 {
		found = gotoChain(b.object("keep-", family))
		rules = c.recalling(b, family, found)
	}
	usable := rule("if it is usable", when(plan.Match{Field: plan.FieldMark, Mask: c.mask, Set: b.object("usable-", family)}), found)
	n := rounds
	if len(b.Members) <= 2 {
		n = len(b.Members) - 1 // another choice of two could only be the other one
	}
	for round := range n {
		rules = append(append(rules, c.choiceRules(b.Balance, family, choice, round)...), usable)
	}
	for _, m := range byWeight(b.Members) {
		try := plan.Jump{Chain: tryChain(m.Target.Name)}
		rules = append(rules, rule("in turn", nil, try), usable)
	}
	return append(rules, c.noneUsable(b))
}

// byWeight puts the heaviest members first.
func byWeight(members []policy.Member) []policy.Member {
	out := slices.Clone(members)
	sorting.Func(out, func(a, b policy.Member) int { return cmp.Compare(b.Weight, a.Weight) })
	return out
}

// choiceRules choose a member. Where a hash is over ports protocols without ports need a rule of
// their own.
func (c *compilation) choiceRules(b *policy.Balance, family plan.Family, choice plan.Action, round int) []plan.ChainRule {
	comment := "choice " + strconv.Itoa(round+1)
	hash, ok := choice.(plan.HashVMap)
	if !ok {
		return []plan.ChainRule{rule(comment, nil, choice)}
	}
	hash.Seed = uint32(hashOf(b.Name, uint32(round)))
	all, portless := hashFields(b.Hash, family)
	hash.Fields = all
	if all == portless {
		return []plan.ChainRule{rule(comment, when(plan.NFProto(family)), hash)}
	}
	c.addSharedSet(portProtocols())
	without := hash
	without.Fields = portless
	return []plan.ChainRule{
		rule(comment, when(inSet(plan.FieldL4Proto, setPortProto), plan.NFProto(family)), hash),
		rule(comment+", no ports", when(notInSet(plan.FieldL4Proto, setPortProto), plan.NFProto(family)), without),
	}
}

// hashFields returns the fields of a hash, and those for protocols without ports: both addresses if
// nothing else is left.
func hashFields(names []string, family plan.Family) (all, portless plan.FieldList) {
	f := fieldsOf(family)
	n, p := 0, 0
	for _, field := range []struct {
		name  string
		field plan.Field
		port  bool
	}{{"src", f.src, false}, {"dst", f.dst, false}, {"sport", plan.FieldSPort, true}, {"dport", plan.FieldDPort, true},
		{"proto", plan.FieldL4Proto, false}} {
		if !slices.Contains(names, field.name) {
			continue
		}
		all[n] = field.field
		n++
		if !field.port {
			portless[p] = field.field
			p++
		}
	}
	if p == 0 {
		portless = plan.FieldList{f.src, f.dst}
	}
	return all, portless
}

// chosen is what follows once a member's mark is the packet's.
func (b balanceUse) chosen() plan.Action {
	if b.strict {
		return gotoChain(chainStricter)
	}
	return accept
}

// noneUsable handles connections of a balance without a usable member: a strict policy or member
// makes them unreachable, otherwise they use default.
func (c *compilation) noneUsable(b balanceUse) plan.ChainRule {
	if b.strict {
		return rule("no member usable: unreachable", nil, gotoChain("mark-"+unreachableName))
	}
	for _, m := range b.Members {
		if t := c.doc.Table(m.Target.Name); t != nil && t.Strict {
			return rule("no member usable; strict", nil, gotoChain("mark-"+t.Name))
		}
	}
	return rule("no member usable: default", nil, plan.SetMark{Mask: c.mask, Value: c.pastRules()}, accept)
}
