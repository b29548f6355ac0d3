package compiler

import (
	"cmp"
	"slices"

	"pbr/compiler/ipproto"
	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Rate of the log lines of one policy: enough to see what it catches, too few to fill a disk.
const (
	logRate  = 10 // lines a second
	logBurst = 20
)

// classification is what the policies become. It depends on the policy file alone.
type classification struct {
	counters []plan.Counter
	sets     []plan.Set
	chains   []plan.Chain
}

// classifier builds it.
type classifier struct {
	doc *policy.Document
	// sets are those that the policies' selectors may look values up in, by name.
	sets map[string]*plan.Set
	// runTime are the names of those that are filled while the policy is in force.
	runTime []string
	// programs are the sets of control groups.
	programs []plan.CgroupSource
}

// classify compiles the policies: forwarded traffic and the router's own have a chain each. The
// first policy that matches has the packet, because each ends its way here.
func classify(doc *policy.Document, form layers.Form) *classification {
	c := &classifier{doc: doc, sets: map[string]*plan.Set{}, programs: programSets(doc)}
	c.addListSets()
	out := &classification{}
	past := passesRules(doc)
	forwarded, local := make([]layers.Policy, 0, len(doc.Policies)), []layers.Policy(nil)
	for i := range doc.Policies {
		p := &doc.Policies[i]
		listed := layers.Policy{Name: p.Name, Selections: c.selections(p), Body: policyBody(p, past, policy.ReturnName(doc, p))}
		listed.Direct, listed.Counter = direct(listed.Body)
		if p.Local {
			local = append(local, listed)
		}
		if p.Forwarded {
			listed.Selections = combine(c.fromAlternatives(p), listed.Selections)
			forwarded = append(forwarded, listed)
		}
	}
	for _, list := range []struct {
		chain    string
		policies []layers.Policy
	}{{chainClassify, forwarded}, {chainClassifyLocal, local}} {
		r := layers.Build(list.chain, list.policies, c.lookUp, form)
		out.sets = append(out.sets, r.Sets...)
		out.addPolicyChains(r.Chains)
		out.chains = append(out.chains, byVersion(list.chain, r.Rules, len(r.Sets) > 0)...)
	}
	out.addUnmarked()
	out.addCounters(doc)
	out.addUsedSets(c.sets)
	out.addRunTimeSets(c)
	return out
}

// direct returns, of a body that only counts and decides, the chain that decides likewise, and the
// counter.
func direct(body []plan.ChainRule) (chain, counter string) {
	last := body[len(body)-1].Actions
	if len(body) > 1 {
		return "", ""
	}
	if decides, ok := last[1].(plan.Goto); ok {
		return decides.Chain, last[0].(plan.Count).Counter
	}
	return chainUnmarked, last[0].(plan.Count).Counter
}

// addUnmarked adds the chain of what policies leave to default, if an element leads there.
func (out *classification) addUnmarked() {
	if slices.ContainsFunc(out.sets, func(s plan.Set) bool {
		return slices.ContainsFunc(s.Elements, func(e plan.Element) bool { return e.Goto == chainUnmarked }) ||
			slices.ContainsFunc(s.Tuples, func(e plan.Tuple) bool { return e.Goto == chainUnmarked })
	}) {
		out.chains = append(out.chains, plan.Chain{Name: chainUnmarked, Rules: []plan.ChainRule{rule("left to default", nil, accept)}})
	}
}

// addCounters adds a named counter for each policy that a rule counts for. For the others the
// elements of maps count.
func (out *classification) addCounters(doc *policy.Document) {
	used := map[string]bool{}
	for i := range out.chains {
		for _, r := range out.chains[i].Rules {
			for _, a := range r.Actions {
				if count, ok := a.(plan.Count); ok {
					used[count.Counter] = true
				}
			}
		}
	}
	for i := range doc.Policies {
		if p := &doc.Policies[i]; used[policyCounter(p)] {
			out.counters = append(out.counters, plan.Counter{Name: policyCounter(p), Comment: "policy " + p.Name})
		}
	}
}

// lookUp returns a set whose content is known.
func (c *classifier) lookUp(name string) *plan.Set {
	if s := c.sets[name]; s != nil && !s.RunTime {
		return s
	}
	return nil
}

// addPolicyChains adds chains of policies that are not there yet: both kinds of traffic may lead to
// one.
func (out *classification) addPolicyChains(chains []plan.Chain) {
	there := make(map[string]bool, len(out.chains))
	for i := range out.chains {
		there[out.chains[i].Name] = true
	}
	for _, ch := range chains {
		if !there[ch.Name] {
			out.chains = append(out.chains, ch)
		}
	}
}

// addUsedSets adds those of the sets that a rule looks something up in, in the order of the rules.
func (out *classification) addUsedSets(sets map[string]*plan.Set) {
	used := map[string]bool{}
	for i := range out.chains {
		for _, r := range out.chains[i].Rules {
			for _, m := range r.Matches {
				if m.Set != "" && !used[m.Set] {
					used[m.Set] = true
					out.sets = append(out.sets, *sets[m.Set])
				}
			}
		}
	}
}

// addClassification adds what the policies became.
func (c *compilation) addClassification(out *classification) {
	c.out.Ruleset.Counters = append(c.out.Ruleset.Counters, out.counters...)
	for _, s := range c.fillPrograms(c.fillSchedules(out.sets)) {
		if s.Name == setPortProto {
			c.addSharedSet(s)
		} else {
			c.out.Ruleset.Sets = append(c.out.Ruleset.Sets, s)
		}
	}
	c.out.Ruleset.Chains = append(c.out.Ruleset.Chains, out.chains...)
}

func policyCounter(p *policy.Policy) string { return "policy-" + p.Name }

// policyBody is what is done with a policy's packets: log some, count, and decide. past tells that
// default has a mark, variant is the table that on-return has them use, if it is not the target's
// own.
func policyBody(p *policy.Policy, past bool, variant string) (body []plan.ChainRule) {
	comment := "policy " + p.Name
	verdict := accept
	switch p.Target.Kind {
	case policy.ToDefault:
		if variant != "" {
			verdict = gotoChain("mark-" + variant)
		} else if past {
			verdict = gotoChain("mark-" + plan.DefaultName)
		}
	case policy.ToBalance:
		verdict = gotoChain(balanceChain(p.Target.Name, p.Strict))
	case policy.ToUnreachable:
		verdict = gotoChain("mark-" + unreachableName)
	case policy.ToDrop:
		verdict = gotoChain("mark-" + dropName)
	case policy.ToUplink:
		verdict = gotoChain(uplinkChain(p.Target.Name, p.Strict, variant))
	default:
		verdict = gotoChain("mark-" + cmp.Or(variant, p.Target.Name))
	}
	if p.Log {
		body = append(body, rule(comment, nil,
			plan.Limit{Rate: logRate, Burst: logBurst},
			plan.Log{Prefix: "pbr:" + p.Name + " "}))
	}
	return append(body, rule(comment, nil, plan.Count{Counter: policyCounter(p)}, verdict))
}

// selections returns the matches of a policy, without its interfaces, as alternatives: a packet
// that meets all matches of one of them is the policy's.
func (c *classifier) selections(p *policy.Policy) [][]plan.Match {
	s := &selection{c: c, policy: p}
	if !s.familyMatters() {
		return s.sent(alternative(s.common()))
	}
	return s.sent(append(s.ofFamily(plan.IPv4), s.ofFamily(plan.IPv6)...))
}

// sent adds to alternatives what is known of who sent the packet.
func (s *selection) sent(all [][]plan.Match) [][]plan.Match {
	return combine(combine(all, s.marks()), s.programs())
}

// marks returns the alternatives for others' packet marks.
func (s *selection) marks() [][]plan.Match {
	if len(s.policy.Marks) == 0 {
		return anyPacket
	}
	var all [][]plan.Match
	for _, m := range s.policy.Marks {
		all = append(all, when(markMatch(plan.FieldMark, m.Mask, m.Value, false)))
	}
	return all
}

// selection builds the alternatives of one policy.
type selection struct {
	c      *classifier
	policy *policy.Policy
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
	m = append(m, s.oneOf(plan.FieldSKGID, "gid", numIntervals(plan.TypeGID, p.GID))...)
	m = append(m, s.oneOf(plan.FieldEtherSAddr, "mac", macIntervals(p.MAC))...)
	return append(m, s.c.addSchedule(p)...)
}

// ports returns the matches on the ports. Where both are compared with values the source ports go
// into a set: nft merges the comparison of two neighbours in a packet into one, and lists it as raw
// bytes.
func (s *selection) ports() []plan.Match {
	sport := s.oneOf(plan.FieldSPort, "sport", portIntervals(s.policy.SPort))
	dport := s.oneOf(plan.FieldDPort, "dport", portIntervals(s.policy.DPort))
	if len(dport) > 0 {
		for i, m := range sport {
			if m.Set == "" {
				sport[i] = s.matchSet(m.Field, "sport", []plan.Element{{From: m.From, To: m.To}}, m.Not)
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
	s.c.addSet(portProtocols())
	return append(when(inSet(plan.FieldL4Proto, setPortProto)), m...)
}

// portProtocols is the set of the protocols that ports without one are of.
func portProtocols() plan.Set {
	return plan.Set{
		Name: setPortProto, Type: plan.TypeProto, Comment: "protocols of ports given without one",
		Elements: []plan.Element{single(plan.KeyFromUint8(ipproto.TCP)), single(plan.KeyFromUint8(ipproto.UDP))},
	}
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
	src, ok := s.addresses(fields.src, fields.srcSet, family, p.Src)
	if !ok {
		return nil
	}
	dst, ok := s.addresses(fields.dst, fields.dstSet, family, p.Dst)
	if !ok {
		return nil
	}
	all := combine(combine(src, dst), alternative(icmp))
	all = combine(combine(all, s.dscp(family)), alternative(s.common()))
	if anything(all) {
		return [][]plan.Match{when(plan.NFProto(family))}
	}
	for i, m := range all {
		if !carriesFamily(m) {
			all[i] = append(when(plan.NFProto(family)), m...)
		}
	}
	return all
}

// combine returns each alternative of a followed by each of b. With a hundred thousand policies
// most of which select by one thing, copies of that are a sixth of all memory.
func combine(a, b [][]plan.Match) [][]plan.Match {
	switch {
	case anything(a):
		return b
	case anything(b):
		return a
	}
	out := make([][]plan.Match, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, slices.Concat(x, y))
		}
	}
	return out
}

// anyPacket are the alternatives that every packet meets. They are the same for all policies, and
// not to be changed.
var anyPacket = [][]plan.Match{nil}

// alternative is the only one.
func alternative(matches []plan.Match) [][]plan.Match {
	if len(matches) == 0 {
		return anyPacket
	}
	return [][]plan.Match{matches}
}

// anything reports whether alternatives are one without a match.
func anything(alternatives [][]plan.Match) bool {
	return len(alternatives) == 1 && len(alternatives[0]) == 0
}

// dscp returns the alternatives for the code point. In IPv6 its bits lie across two bytes, which
// nft compares with a single value rightly, but not with an interval or a set.
func (s *selection) dscp(family plan.Family) [][]plan.Match {
	values := numIntervals(plan.TypeDSCP, s.policy.DSCP)
	if family == plan.IPv4 || len(values) == 0 {
		return alternative(s.oneOf(fieldsOf(family).dscp, "dscp", values))
	}
	var out [][]plan.Match
	for _, v := range codePoints(s.policy.DSCP, false) {
		out = append(out, when(codePoint6(v, false)))
	}
	var never []plan.Match
	for _, v := range codePoints(s.policy.DSCP, true) {
		never = append(never, codePoint6(v, true))
	}
	if out == nil {
		return alternative(never)
	}
	return combine(out, alternative(never))
}

// codePoints are those with that negation, sorted.
func codePoints(items []policy.NumItem, not bool) []uint32 {
	items = slices.DeleteFunc(slices.Clone(items), func(n policy.NumItem) bool { return n.Not != not })
	return slices.Compact(slices.Sorted(slices.Values(singles(items))))
}

func codePoint6(v uint32, not bool) plan.Match {
	k := plan.KeyFromUint8(uint8(v))
	return plan.Match{Field: plan.FieldDSCP6, From: k, To: k, Not: not}
}

// carriesFamily reports whether one of the matches tests the IP version by itself.
func carriesFamily(matches []plan.Match) bool {
	return slices.ContainsFunc(matches, func(m plan.Match) bool { return m.Field.Family() != 0 })
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

// familyFields are the fields that differ between the families, and what sets of addresses are
// named after.
type familyFields struct {
	src, dst, dscp plan.Field
	srcSet, dstSet string
}

func fieldsOf(family plan.Family) familyFields {
	if family == plan.IPv4 {
		return familyFields{plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldDSCP4, "src-4", "dst-4"}
	}
	return familyFields{plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldDSCP6, "src-6", "dst-6"}
}
