package compiler

import (
	"cmp"
	"slices"

	"pbr/compiler/ipproto"
	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/slab"
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
	// past reports that default has a mark.
	past bool
	// marking are the names of the chains that set the mark of a table.
	marking map[string]string
	// These have the matches of all policies. items is what one is made of.
	matches      slab.Of[plan.Match]
	alternatives slab.Of[[]plan.Match]
	items        []item
}

// classify compiles the policies: forwarded traffic and the router's own have a chain each. The
// first policy that matches has the packet, because each ends its way here.
func classify(doc *policy.Document, form layers.Form) *classification {
	c := &classifier{doc: doc, sets: map[string]*plan.Set{}, programs: programSets(doc), past: passesRules(doc),
		marking: map[string]string{}}
	c.addListSets()
	out := &classification{}
	forwarded, local := make([]layers.Policy, 0, len(doc.Policies)), []layers.Policy(nil)
	for i := range doc.Policies {
		p := &doc.Policies[i]
		listed := c.listed(p)
		if p.Local {
			local = append(local, listed)
		}
		if p.Forwarded {
			listed.Selections = c.combine(c.fromAlternatives(p), listed.Selections)
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
		for _, ch := range byVersion(list.chain, r.Rules, len(r.Sets) > 0) {
			chains, sources := bySource(list.chain, ch, r.Sets, form)
			out.chains, out.sets = append(out.chains, chains...), append(out.sets, sources...)
		}
	}
	out.addUnmarked()
	out.addCounters(doc)
	out.addUsedSets(c.sets)
	out.addRunTimeSets(c)
	return out
}

// listed is a policy as one of a list. Where a packet is only counted and decided on, an element
// may lead to the chain that decides likewise.
func (c *classifier) listed(p *policy.Policy) layers.Policy {
	out := layers.Policy{Name: p.Name, Selections: c.selections(p), Body: func() []plan.ChainRule { return c.body(p) }}
	if !p.Log {
		out.Direct, out.Counter = cmp.Or(c.deciding(p), chainUnmarked), policyCounter(p)
	}
	return out
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

// body is what is done with a policy's packets: log some, count, and decide.
func (c *classifier) body(p *policy.Policy) (body []plan.ChainRule) {
	comment := "policy " + p.Name
	verdict := accept
	if chain := c.deciding(p); chain != "" {
		verdict = gotoChain(chain)
	}
	if p.Log {
		body = append(body, rule(comment, nil,
			plan.Limit{Rate: logRate, Burst: logBurst},
			plan.Log{Prefix: "pbr:" + p.Name + " "}))
	}
	return append(body, rule(comment, nil, plan.Count{Counter: policyCounter(p)}, verdict))
}

// deciding is the chain that decides on a policy's packets; empty if they are left to default,
// which has no mark.
func (c *classifier) deciding(p *policy.Policy) string {
	// variant is the table that on-return has them use, if it is not the target's own.
	variant := policy.ReturnName(c.doc, p)
	switch p.Target.Kind {
	case policy.ToDefault:
		switch {
		case variant != "":
			return c.markChain(variant)
		case c.past:
			return c.markChain(plan.DefaultName)
		}
		return ""
	case policy.ToBalance:
		return balanceChain(p.Target.Name, p.Strict)
	case policy.ToUnreachable:
		return c.markChain(unreachableName)
	case policy.ToDrop:
		return c.markChain(dropName)
	case policy.ToUplink:
		return uplinkChain(p.Target.Name, p.Strict, variant)
	}
	return c.markChain(cmp.Or(variant, p.Target.Name))
}

// markChain is the name of the chain that sets a table's mark, in memory once.
func (c *classifier) markChain(table string) string {
	name := c.marking[table]
	if name == "" {
		name = "mark-" + table
		c.marking[table] = name
	}
	return name
}

// selections returns the matches of a policy, without its interfaces, as alternatives: a packet
// that meets all matches of one of them is the policy's.
func (c *classifier) selections(p *policy.Policy) [][]plan.Match {
	s := &selection{c: c, policy: p}
	if !s.familyMatters() {
		return s.sent(c.alternative(s.common()))
	}
	return s.sent(append(s.ofFamily(plan.IPv4), s.ofFamily(plan.IPv6)...))
}

// sent adds to alternatives what is known of who sent the packet.
func (s *selection) sent(all [][]plan.Match) [][]plan.Match {
	return s.c.combine(all, s.marks(), s.programs())
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
	var room [8]plan.Match
	m := room[:0]
	if len(p.ICMP) == 0 {
		m = s.protocols(m)
	}
	m = s.ports(m)
	m = s.oneOf(m, plan.FieldSKUID, "uid", s.c.numIntervals(plan.TypeUID, p.UID))
	m = s.oneOf(m, plan.FieldSKGID, "gid", s.c.numIntervals(plan.TypeGID, p.GID))
	m = s.oneOf(m, plan.FieldEtherSAddr, "mac", s.c.macIntervals(p.MAC))
	return s.c.matches.Keep(append(m, s.c.addSchedule(p)...))
}

// ports adds the matches on the ports. Where both are compared with values the source ports go into
// a set: nft merges the comparison of two neighbours in a packet into one, and lists it as raw
// bytes.
func (s *selection) ports(m []plan.Match) []plan.Match {
	first := len(m)
	m = s.oneOf(m, plan.FieldSPort, "sport", s.c.portIntervals(s.policy.SPort))
	if len(s.policy.DPort) == 0 {
		return m
	}
	for i, sport := range m[first:] {
		if sport.Set == "" {
			m[first+i] = s.matchSet(sport.Field, "sport", []plan.Element{{From: sport.From, To: sport.To}}, sport.Not)
		}
	}
	return s.oneOf(m, plan.FieldDPort, "dport", s.c.portIntervals(s.policy.DPort))
}

// protocols adds the matches on the protocol; ports without one are TCP's and UDP's.
func (s *selection) protocols(m []plan.Match) []plan.Match {
	p := s.policy
	named := slices.ContainsFunc(p.Proto, func(n policy.NumItem) bool { return !n.Not })
	if !named && len(p.SPort)+len(p.DPort) > 0 {
		s.c.addSet(portProtocols())
		m = append(m, inSet(plan.FieldL4Proto, setPortProto))
	}
	return s.oneOf(m, plan.FieldL4Proto, "proto", s.c.numIntervals(plan.TypeProto, p.Proto))
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
	all := s.c.combine(src, dst, s.c.alternative(icmp), s.dscp(family), s.c.alternative(s.common()))
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

// combine returns each alternative of the first of several followed by each of the second, and so
// on. With a hundred thousand policies most of which select by one thing, copies of that are a
// sixth of all memory.
func (c *classifier) combine(all ...[][]plan.Match) [][]plan.Match {
	out, more := anyPacket, 0
	length, single := 0, true
	for _, a := range all {
		if anything(a) {
			continue
		}
		out, more = a, more+1
		if single = single && len(a) == 1; single {
			length += len(a[0])
		}
	}
	switch {
	case more < 2:
		return out
	case !single:
		return c.product(all)
	}
	matches := c.matches.Take(length)
	for _, a := range all {
		matches = append(matches, a[0]...)
	}
	return c.alternative(matches)
}

// product is combine of lists that have several alternatives, or none.
func (c *classifier) product(all [][][]plan.Match) [][]plan.Match {
	out := anyPacket
	for _, a := range all {
		switch {
		case anything(a):
		case anything(out):
			out = a
		default:
			longer := make([][]plan.Match, 0, len(out)*len(a))
			for _, x := range out {
				for _, y := range a {
					longer = append(longer, slices.Concat(x, y))
				}
			}
			out = longer
		}
	}
	return out
}

// anyPacket are the alternatives that every packet meets. They are the same for all policies, and
// not to be changed.
var anyPacket = [][]plan.Match{nil}

// alternative is the only one.
func (c *classifier) alternative(matches []plan.Match) [][]plan.Match {
	if len(matches) == 0 {
		return anyPacket
	}
	return append(c.alternatives.Take(1), matches)
}

// anything reports whether alternatives are one without a match.
func anything(alternatives [][]plan.Match) bool {
	return len(alternatives) == 1 && len(alternatives[0]) == 0
}

// dscp returns the alternatives for the code point. In IPv6 its bits lie across two bytes, which
// nft compares with a single value rightly, but not with an interval or a set.
func (s *selection) dscp(family plan.Family) [][]plan.Match {
	if len(s.policy.DSCP) == 0 {
		return anyPacket
	}
	if family == plan.IPv4 {
		return s.c.alternative(s.oneOf(nil, plan.FieldDSCP4, "dscp", s.c.numIntervals(plan.TypeDSCP, s.policy.DSCP)))
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
		return s.c.alternative(never)
	}
	return s.c.combine(out, s.c.alternative(never))
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
	return s.oneOf(nil, field, "icmp", types), len(types) > 0
}

// familyFields are the fields that differ between the families, and what sets of addresses are
// named after.
type familyFields struct {
	src, dst       plan.Field
	srcSet, dstSet string
}

func fieldsOf(family plan.Family) familyFields {
	if family == plan.IPv4 {
		return familyFields{plan.FieldIPSAddr, plan.FieldIPDAddr, "src-4", "dst-4"}
	}
	return familyFields{plan.FieldIP6SAddr, plan.FieldIP6DAddr, "src-6", "dst-6"}
}
