package compiler

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Rate of the log lines of one policy: enough to see what it catches, too few to fill a disk.
const (
	logRate  = 10 // lines a second
	logBurst = 20
)

// addClassification adds the policies in their order: as rules of one chain for forwarded traffic, and
// of another for the router's own. The first match wins, because each ends the packet's way here.
func (c *compilation) addClassification() {
	classify := plan.Chain{Name: chainClassify}
	local := plan.Chain{Name: chainClassifyLocal}
	for i := range c.doc.Policies {
		p := &c.doc.Policies[i]
		c.out.Ruleset.Counters = append(c.out.Ruleset.Counters, plan.Counter{Name: "policy-" + p.Name, Comment: "policy " + p.Name})
		selections := c.selections(p)
		if p.Forwarded {
			for _, from := range c.fromAlternatives(p) {
				classify.Rules = c.appendPolicy(classify.Rules, p, from, selections)
			}
		}
		if p.Local {
			local.Rules = c.appendPolicy(local.Rules, p, nil, selections)
		}
	}
	c.addChain(classify)
	c.addChain(local)
}

// appendPolicy appends one rule per selection, and before it a second one that logs.
func (c *compilation) appendPolicy(rules []plan.ChainRule, p *policy.Policy, from []plan.Match, selections [][]plan.Match) []plan.ChainRule {
	comment := "policy " + p.Name
	verdict := accept
	switch p.Target.Kind {
	case policy.ToDefault:
	case policy.ToBalance:
		verdict = gotoChain(balanceChain(p.Target.Name))
	default:
		verdict = gotoChain("mark-" + p.Target.Name)
	}
	for _, selection := range selections {
		matches := make([]plan.Match, 0, len(from)+len(selection))
		matches = append(append(matches, from...), selection...)
		if p.Log {
			rules = append(rules, rule(comment, matches,
				plan.Action{Kind: plan.Limit, Rate: logRate, Burst: logBurst},
				plan.Action{Kind: plan.Log, Name: "pbr:" + p.Name + " "}))
		}
		rules = append(rules, rule(comment, matches, plan.Action{Kind: plan.Count, Name: "policy-" + p.Name}, verdict))
	}
	return rules
}

// selections returns the matches of a policy, without its interfaces, as alternatives: a packet that
// meets all matches of one of them is the policy's.
func (c *compilation) selections(p *policy.Policy) [][]plan.Match {
	s := &selection{c: c, policy: p, sets: map[string]bool{}}
	if !s.familyMatters() {
		return [][]plan.Match{s.common()}
	}
	var all [][]plan.Match
	for _, family := range plan.Families {
		all = append(all, s.ofFamily(family)...)
	}
	return all
}

// selection builds the alternatives of one policy.
type selection struct {
	c      *compilation
	policy *policy.Policy
	// sets that were added for the policy already.
	sets map[string]bool
}

func (s *selection) familyMatters() bool {
	p := s.policy
	return len(p.Src) > 0 || len(p.Dst) > 0 || len(p.DSCP) > 0 || len(p.ICMP) > 0 || p.IPVersion != 0
}

// common returns the matches that are the same in both families.
func (s *selection) common() []plan.Match {
	p := s.policy
	var m []plan.Match
	if len(p.ICMP) == 0 {
		m = append(m, s.protocols()...)
	}
	m = append(m, s.ports()...)
	m = append(m, s.oneOf(plan.FieldSKUID, "uid", numIntervals(plan.TypeUID, p.UID))...)
	return append(m, s.oneOf(plan.FieldEtherSAddr, "mac", macIntervals(p.MAC))...)
}

// ports returns the matches on the ports. Where both are compared with values the source ports go into a set:
// nft merges the comparison of two neighbours in a packet into one, and lists it as raw bytes.
func (s *selection) ports() []plan.Match {
	sport := s.oneOf(plan.FieldSPort, "sport", portIntervals(s.policy.SPort))
	dport := s.oneOf(plan.FieldDPort, "dport", portIntervals(s.policy.DPort))
	if len(dport) > 0 {
		for i, m := range sport {
			if m.Set == "" {
				sport[i] = s.matchSet(m.Field, s.setName("sport", m.Not), []plan.Element{{From: m.From, To: m.To}}, m.Not)
			}
		}
	}
	return append(sport, dport...)
}

// protocols returns the matches on the protocol; ports without one are TCP's and UDP's.
func (s *selection) protocols() []plan.Match {
	p := s.policy
	m := s.oneOf(plan.FieldL4Proto, "proto", numIntervals(plan.TypeProto, p.Proto))
	named := slices.ContainsFunc(p.Proto, func(n policy.NumItem) bool { return !n.Not })
	if named || len(p.SPort) == 0 && len(p.DPort) == 0 {
		return m
	}
	s.c.addPortProtocols()
	return append(when(inSet(plan.FieldL4Proto, setPortProto)), m...)
}

// addPortProtocols adds the set of the protocols that ports without one are of.
func (c *compilation) addPortProtocols() {
	c.addSharedSet(setPortProto, plan.Set{
		Name: setPortProto, Type: plan.TypeProto, Comment: "protocols of ports given without one",
		Elements: []plan.Element{single(plan.KeyFromUint8(protoTCP)), single(plan.KeyFromUint8(protoUDP))},
	})
}

// ofFamily returns the alternatives for one family; none if the policy cannot match in it.
func (s *selection) ofFamily(family plan.Family) [][]plan.Match {
	p := s.policy
	if p.IPVersion != 0 && plan.Family(p.IPVersion) != family {
		return nil
	}
	icmp, ok := s.icmp(family)
	if !ok {
		return nil
	}
	fields := fieldsOf(family)
	src, ok := s.addresses(fields.src, "src", family, p.Src)
	if !ok {
		return nil
	}
	dst, ok := s.addresses(fields.dst, "dst", family, p.Dst)
	if !ok {
		return nil
	}
	all := combine(combine(combine([][]plan.Match{nil}, src), dst), [][]plan.Match{icmp})
	all = combine(combine(all, s.dscp(family)), [][]plan.Match{s.common()})
	for i, m := range all {
		if !carriesFamily(m) {
			all[i] = append(when(plan.NFProto(family)), m...)
		}
	}
	return all
}

// combine returns each alternative of a followed by each of b.
func combine(a, b [][]plan.Match) [][]plan.Match {
	out := make([][]plan.Match, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, slices.Concat(x, y))
		}
	}
	return out
}

// dscp returns the alternatives for the code point. In IPv6 its bits lie across two bytes, which nft compares with a
// single value rightly, but not with an interval or a set.
func (s *selection) dscp(family plan.Family) [][]plan.Match {
	values := numIntervals(plan.TypeDSCP, s.policy.DSCP)
	if family == plan.IPv4 || len(values) == 0 {
		return [][]plan.Match{s.oneOf(fieldsOf(family).dscp, "dscp", values)}
	}
	var out [][]plan.Match
	for _, v := range slices.Compact(slices.Sorted(slices.Values(singles(s.policy.DSCP)))) {
		k := plan.KeyFromUint8(uint8(v))
		out = append(out, when(plan.Match{Field: plan.FieldDSCP6, From: k, To: k}))
	}
	return out
}

// carriesFamily tells whether one of the matches tests the IP version by itself.
func carriesFamily(matches []plan.Match) bool {
	for _, m := range matches {
		switch m.Field {
		case plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldIP6SAddr, plan.FieldIP6DAddr,
			plan.FieldDSCP4, plan.FieldDSCP6, plan.FieldICMPType, plan.FieldICMPv6Type:
			return true
		}
	}
	return false
}

func (s *selection) icmp(family plan.Family) (m []plan.Match, ok bool) {
	if len(s.policy.ICMP) == 0 {
		return nil, true
	}
	field := plan.FieldICMPType
	if family == plan.IPv6 {
		field = plan.FieldICMPv6Type
	}
	var types []item
	for _, t := range s.policy.ICMP {
		if plan.Family(t.Family) == family {
			types = append(types, item{from: plan.KeyFromUint8(t.Type), to: plan.KeyFromUint8(t.Type)})
		}
	}
	return s.oneOf(field, "icmp", types), len(types) > 0
}

// familyFields are the fields that differ between the families.
type familyFields struct{ src, dst, dscp plan.Field }

func fieldsOf(family plan.Family) familyFields {
	if family == plan.IPv4 {
		return familyFields{plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldDSCP4}
	}
	return familyFields{plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldDSCP6}
}
