package compiler

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
)

// maxExpansion bounds the ip rules that one [[rule]] may become. The kernel walks its rules one by
// one for every packet, so long lists belong into a policy.
const maxExpansion = 1024

// addUserRules gives each [[rule]] the next priority, in the file's order of priorities.
func (c *compilation) addUserRules() {
	rules := inOrder(c.doc.Rules)
	offset := uint32(priorityUser)
	for i := range rules {
		r := &rules[i]
		needed := prioritiesOf(r)
		if offset+needed > priorityMain {
			c.problem(r.Pos, policy.CodeTooManyRules, "rule",
				fmt.Sprintf("rule %q does not fit: %d priorities are kept for rules", r.Name, priorityMain-priorityUser),
				"make one rule of those that differ only in addresses, or use a [[policy]]")
			return
		}
		selectors := c.expand(r)
		for _, s := range selectors {
			s.Action, s.Table = c.action(r)
			c.addRule(s, offset)
		}
		offset++
		if r.Action == policy.RuleLookupOnly {
			for _, s := range selectors {
				s.Action = plan.ActUnreachable
				c.addRule(s, offset)
			}
			offset++
		}
	}
}

// inOrder returns rules in the order in which they are asked.
func inOrder(rules []policy.Rule) []policy.Rule {
	rules = slices.Clone(rules)
	sorting.Func(rules, func(a, b policy.Rule) int {
		switch {
		case a.HasPriority && b.HasPriority:
			return cmp.Compare(a.Priority, b.Priority)
		case a.HasPriority:
			return -1
		case b.HasPriority:
			return 1
		}
		return 0
	})
	return rules
}

// prioritiesOf is how many priorities a rule needs.
func prioritiesOf(r *policy.Rule) uint32 {
	if r.Action == policy.RuleLookupOnly {
		return 2
	}
	return 1
}

// UserRules returns the [[rule]]s by the priorities of their ip rules.
func UserRules(doc *policy.Document) map[uint32]*policy.Rule {
	out := map[uint32]*policy.Rule{}
	next := doc.Settings.RulePriority + priorityUser
	rules := inOrder(doc.Rules)
	for i := range rules {
		for range prioritiesOf(&rules[i]) {
			out[next] = &rules[i]
			next++
		}
	}
	return out
}

func (c *compilation) action(r *policy.Rule) (plan.RuleAction, uint32) {
	switch r.Action {
	case policy.RuleUnreachable:
		return plan.ActUnreachable, 0
	case policy.RuleProhibit:
		return plan.ActProhibit, 0
	case policy.RuleDrop:
		return plan.ActBlackhole, 0
	}
	return plan.ActLookup, c.ruleTable(r.Target)
}

// looksIntoMain reports whether a rule leads to the main table.
func (c *compilation) looksIntoMain() bool {
	return slices.ContainsFunc(c.doc.Rules, func(r policy.Rule) bool {
		return (r.Action == policy.RuleLookup || r.Action == policy.RuleLookupOnly) && c.ruleTable(r.Target) == plan.MainTable
	})
}

// ruleTable returns the routing table that a rule looks into. Without [default] main serves as
// default.
func (c *compilation) ruleTable(t policy.Target) uint32 {
	switch {
	case t.Kind == policy.ToMain || t.Kind == policy.ToDefault && c.doc.Default == nil:
		return plan.MainTable
	case t.Kind == policy.ToDefault:
		return c.numbers.table(plan.DefaultName)
	}
	return c.numbers.table(t.Name)
}

// expand returns the ip rules' selectors for a [[rule]]: one value each, so a rule with lists
// becomes their product. Ranges of addresses become prefixes.
func (c *compilation) expand(r *policy.Rule) []plan.Rule {
	if len(r.DSCP) > 0 && c.host.Known && !c.host.DSCPRules {
		c.problem(r.Pos, policy.CodeKernelTooOld, "rule.dscp",
			fmt.Sprintf("rule %q selects by dscp, which needs Linux 6.13: an older kernel would apply the rule to every packet", r.Name),
			"use a [[policy]] with dscp instead")
		return nil
	}
	var out []plan.Rule
	for _, family := range c.families() {
		if selectors := c.expandFamily(r, family); len(selectors) <= maxExpansion {
			out = append(out, distinct(selectors)...)
		} else {
			c.problem(r.Pos, policy.CodeRuleTooWide, "rule",
				fmt.Sprintf("rule %q would become %d ip rules, more than %d", r.Name, len(selectors), maxExpansion),
				"the kernel walks them for every packet; use a [[policy]], which looks lists up in a set")
			return nil
		}
	}
	return out
}

func (c *compilation) expandFamily(r *policy.Rule, family plan.Family) []plan.Rule {
	src, ok := c.rulePrefixes(r.Src, family)
	if !ok {
		return nil
	}
	dst, ok := c.rulePrefixes(r.Dst, family)
	if !ok {
		return nil
	}
	list := []plan.Rule{{Family: family, MarkMask: c.mask | r.MarkMask, Mark: r.Mark}}
	list = product(list, src, func(s *plan.Rule, p netip.Prefix) { s.Src = p })
	list = product(list, dst, func(s *plan.Rule, p netip.Prefix) { s.Dst = p })
	list = product(list, r.IIF, func(s *plan.Rule, n policy.NameItem) { s.IIF = n.Name })
	list = product(list, r.OIF, func(s *plan.Rule, n policy.NameItem) { s.OIF = n.Name })
	list = product(list, singles(r.TOS), func(s *plan.Rule, v uint32) { s.TOS = uint8(v) })
	list = product(list, singles(r.DSCP), func(s *plan.Rule, v uint32) { s.DSCP = uint8(v) + 1 })
	list = product(list, ruleProtocols(r), func(s *plan.Rule, v uint32) { s.Proto = uint8(v) })
	list = product(list, r.SPort, func(s *plan.Rule, p policy.PortItem) { s.SPort = plan.PortRange{From: p.From, To: p.To} })
	list = product(list, r.DPort, func(s *plan.Rule, p policy.PortItem) { s.DPort = plan.PortRange{From: p.From, To: p.To} })
	return product(list, r.UID, func(s *plan.Rule, u policy.NumItem) {
		s.UID, s.HasUID = plan.UIDRange{From: u.From, To: u.To}, true
		if s.IIF == "" {
			s.IIF = loopback // the kernel gives forwarded packets uid 0
		}
	})
}

// loopback is the arriving interface of the router's own packets (ip-rule(8)).
const loopback = "lo"

// distinct omits repeated rules: the kernel refuses the second one.
func distinct(rules []plan.Rule) []plan.Rule {
	seen := map[plan.Rule]bool{}
	return slices.DeleteFunc(rules, func(r plan.Rule) bool {
		again := seen[r]
		seen[r] = true
		return again
	})
}

// product returns a copy of each rule for each value; no values leave the rules as they are. It
// stops growing once past maxExpansion, which its caller reports.
func product[T any](rules []plan.Rule, values []T, set func(*plan.Rule, T)) []plan.Rule {
	if len(values) == 0 || len(rules) > maxExpansion {
		return rules
	}
	out := make([]plan.Rule, 0, len(rules)*len(values))
	for _, r := range rules {
		for _, v := range values {
			set(&r, v)
			out = append(out, r)
		}
	}
	return out
}

// singles takes ranges of numbers apart.
func singles(items []policy.NumItem) []uint32 {
	var out []uint32
	for _, item := range items {
		for v := item.From; v <= item.To; v++ {
			out = append(out, v)
		}
	}
	return out
}

// ruleProtocols gives the protocols of a rule; ports without a protocol are TCP's and UDP's.
func ruleProtocols(r *policy.Rule) []uint32 {
	if len(r.Proto) == 0 && (len(r.SPort) > 0 || len(r.DPort) > 0) {
		return []uint32{ipproto.TCP, ipproto.UDP}
	}
	return singles(r.Proto)
}

// rulePrefixes returns a selector's prefixes of one family; ok is false when the selector names
// addresses, but none of this family, so that the rule has no place in it.
func (c *compilation) rulePrefixes(items []policy.AddrItem, family plan.Family) (prefixes []netip.Prefix, ok bool) {
	for _, item := range items {
		ranges := []policy.Range{item.Range}
		if item.List != "" {
			ranges = c.lists[item.List].Ranges
		}
		for _, r := range ranges {
			if plan.FamilyOf(r.From) == family {
				prefixes = slices.AppendSeq(prefixes, r.Prefixes())
			}
		}
	}
	sorting.Func(prefixes, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(prefixes), len(items) == 0 || len(prefixes) > 0
}
