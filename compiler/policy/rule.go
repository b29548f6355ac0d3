package policy

import (
	"math"
	"strings"
)

var ruleActions = map[string]RuleAction{"lookup": RuleLookup, "lookup-only-in-table": RuleLookupOnly,
	"unreachable": RuleUnreachable, "prohibit": RuleProhibit, "drop": RuleDrop}

// tosMask has the bits that IPv4 rules may select by (IPTOS_TOS_MASK, linux/ip.h; the kernel
// refuses others, IPv6 takes them).
const tosMask = 0x1e

// rule reads one [[rule]].
func (p *parser) rule(s *section) {
	r := Rule{Pos: s.pos()}
	var pos Pos
	r.Name, pos = s.objectName("rule", "guests")
	if r.Name != "" {
		if first, ok := p.rules[r.Name]; ok {
			s.taken(r.Name, pos, "rule", p.doc.Rules[first].Pos)
		} else {
			p.rules[r.Name] = len(p.doc.Rules)
		}
	}
	priority, pos := s.integer("priority", 0, 0, math.MaxUint32)
	r.Priority, r.HasPriority = uint32(priority), pos.Line != 0
	s.selectors(&r)
	action, _ := s.word("action", "lookup", "lookup", "lookup-only-in-table", "unreachable", "prohibit", "drop")
	r.Action = ruleActions[action]
	s.ruleTarget(&r, action)
	r.CommonKeys = s.commonKeys()
	p.doc.Rules = append(p.doc.Rules, r)
}

// selectors reads what a rule selects by.
func (s *section) selectors(r *Rule) {
	r.Src = s.ruleAddrs("src")
	r.Dst = s.ruleAddrs("dst")
	r.IIF = s.ruleInterfaces("iif")
	r.OIF = s.ruleInterfaces("oif")
	r.TOS = s.numbers("tos", tosKind, ruleNegated)
	r.DSCP = s.numbers("dscp", dscpKind, ruleNegated)
	r.Proto = s.numbers("proto", protoKind, ruleNegated)
	r.SPort = s.ports("sport", ruleNegated)
	r.DPort = s.ports("dport", ruleNegated)
	s.checkPorts(r.Proto, r.SPort, r.DPort)
	r.UID = s.uids("uid")
	s.ruleMark(r)
	left := s.checkFamilies([]limit{{"src", s.p.addrFamilies(r.Src)}, {"dst", s.p.addrFamilies(r.Dst)},
		{"proto", protoFamilySet(r.Proto)}}, r.Src, r.Dst)
	for _, item := range r.Proto {
		if item.From == 0 {
			s.errorAt(item.Pos, codeBadValue, "proto", "leave the key out, or use a [[policy]]",
				"proto 0 matches any protocol in an ip rule")
		}
	}
	if len(r.TOS) > 0 && len(r.DSCP) > 0 {
		s.errorAt(r.TOS[0].Pos, codeConflict, "tos", "keep one of them", "tos and dscp select by the same byte")
	}
	for _, item := range r.TOS {
		if item.From == 0 {
			s.errorAt(item.Pos, codeBadValue, "tos", "leave the key out, or use a [[policy]] with dscp = 0",
				"tos 0 matches any tos in an ip rule")
			continue
		}
		if item.From&^tosMask != 0 && left != only6 {
			s.errorAt(item.Pos, codeBadValue, "tos", "select by dscp instead",
				"tos %#02x: the kernel takes IPv4 rules only for even ones up to 0x1e", item.From)
		}
	}
}

// ruleAddrs reads a rule's addresses.
func (s *section) ruleAddrs(key string) []AddrItem {
	items := s.addrs(key, ruleNegated)
	for _, item := range items {
		if item.List == "" {
			continue
		}
		switch l := s.p.list(item.List); {
		case l.RunTime():
			s.errorAt(item.Pos, codeConflict, key, "use a [[policy]]",
				"an ip rule cannot look into list %q, which gets members while the policy is in force", item.List)
		case l.Variable():
			s.errorAt(item.Pos, codeConflict, key, "use a [[policy]]",
				"an ip rule cannot follow list %q, which is fetched again while the policy is in force", item.List)
		}
	}
	return items
}

// ruleInterfaces reads a rule's interfaces; "local" is another word for "lo", which stands for
// the router's own packets.
func (s *section) ruleInterfaces(key string) []NameItem {
	var out []NameItem
	for e := range s.entries(key, ruleNegated, false) {
		if e.text == "local" && key == "iif" {
			e.text = "lo"
		}
		f := checkInterface(e.text)
		switch {
		case strings.HasSuffix(e.text, "*"):
			f = badValue("name each interface, or use a [[policy]]", "an ip rule has no patterns, %q is one", e.text)
		case f == nil && key == "oif" && (e.text == "lo" || e.text == "local"):
			f = badValue("", "no packet that is routed leaves through %q", e.text)
		}
		if f != nil {
			s.fault(e.pos, key, f)
			continue
		}
		out = append(out, NameItem{Pos: e.pos, Name: e.text})
	}
	return out
}

// ruleTarget reads the table of a lookup; the other actions have none.
func (s *section) ruleTarget(r *Rule, action string) {
	if r.Action == RuleLookup || r.Action == RuleLookupOnly {
		r.Target = s.target("table", "uplink")
		return
	}
	for _, key := range []string{"table", "uplink"} {
		if s.get(key) != nil {
			s.errorAt(s.keyPos(key), codeConflict, key, "leave "+key+" out", "action %q looks into no table", action)
		}
	}
}
