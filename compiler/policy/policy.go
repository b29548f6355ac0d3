package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pbr/compiler/ipproto"
	"pbr/compiler/lazy"
	"pbr/compiler/policy/internal/tomltree"
)

// policy reads one [[policy]].
func (p *parser) policy(s *section) {
	p.rare = RareKeys{}
	pol := Policy{RareKeys: &p.rare, Pos: s.pos()}
	var pos Pos
	pol.Name, pos = s.objectName("policy", "voip")
	if pol.Name != "" {
		if first, taken := p.claimPolicy(pol.Name); taken {
			s.taken(pol.Name, pos, "policy", p.doc.Policies[first].Pos)
		}
	}
	s.from(&pol)
	pol.Src = s.addrs("src", mayNegate)
	pol.Dst = s.addrs("dst", mayNegate)
	pol.Proto = s.numbers("proto", protoKind, mayNegate)
	pol.SPort = s.ports("sport", mayNegate)
	pol.DPort = s.ports("dport", mayNegate)
	s.checkPorts(pol.Proto, pol.SPort, pol.DPort)
	pol.DSCP = s.numbers("dscp", dscpKind, mayNegate)
	s.owner(&pol)
	pol.Marks = s.marks("fwmark")
	s.ipVersion(&pol)
	pol.ICMP = s.icmp(&pol)
	s.neverClassified(&pol)
	s.policyFamilies(&pol)
	s.schedule(&pol)
	s.windowEdges(&pol)
	pol.Target = s.target("table", "uplink", "balance", "default", "action")
	s.strictPolicy(&pol)
	s.policyReturn(&pol)
	pol.Log = s.boolean("log", false)
	pol.CommonKeys = s.commonKeys()
	pol.RareKeys = p.rare.kept()
	p.doc.Policies = append(p.doc.Policies, pol)
}

// claimPolicy gives a name to the policy that is being read, unless an earlier one has it. Until a
// name repeats, none is looked up before it is stored: that look-up is an eighth of reading a
// policy.
func (p *parser) claimPolicy(name string) (first int, taken bool) {
	here, known := len(p.doc.Policies), len(p.policies)
	if p.repeated {
		if first, taken = p.policies[name]; !taken {
			p.policies[name] = here
		}
		return first, taken
	}
	if p.policies[name] = here; len(p.policies) > known {
		return 0, false
	}
	p.repeated = true
	first = slices.IndexFunc(p.doc.Policies, func(o Policy) bool { return o.Name == name })
	p.policies[name] = first
	return first, true
}

// strictPolicy reads strict, which is for targets that have a fallback of their own accord.
func (s *section) strictPolicy(pol *Policy) {
	present := s.fields.Get("strict") != nil
	pol.Strict = s.boolean("strict", false)
	if !present {
		return
	}
	pol.StrictPos = s.keyPos("strict")
	switch pol.Target.Kind {
	case ToTable:
		s.errorAt(pol.StrictPos, codeConflict, "strict", fmt.Sprintf("write strict = true in [[table]] %q", pol.Target.Name),
			"strict goes with uplink and balance: whether a table falls back is said in the table")
	case ToDefault:
		s.errorAt(pol.StrictPos, codeConflict, "strict", "write strict = true in [default]",
			"strict goes with uplink and balance: whether default falls back is said in [default]")
	case ToUnreachable, ToDrop:
		s.errorAt(pol.StrictPos, codeConflict, "strict", "leave strict out",
			"strict goes with uplink and balance: an action has no fallback")
	}
}

// everyInterface is what from has for all interfaces that are no uplinks, as without the key.
const everyInterface = "*"

// from reads the arriving interfaces, and decides whether forwarded or local traffic is meant.
func (s *section) from(pol *Policy) {
	every := false
	for e := range s.entries("from", mayNegate, false) {
		switch {
		case e.text == "local" && e.not:
			s.errorAt(e.pos, codeNegation, "from", `leave "local" out: only what from names is meant`, `"local" cannot be negated`)
		case e.text == "local":
			pol.Local = true
		case e.text == everyInterface && e.not:
			s.errorAt(e.pos, codeNegation, "from", `write from = "local" for what the router itself sends`, `"!*" leaves no interface`)
		case e.text == everyInterface:
			every = true
		case e.text == "lo":
			s.errorAt(e.pos, codeBadValue, "from", `write "local" for the router's own traffic`, `invalid from "lo"`)
		default:
			if f := checkPattern(e.text); f != nil {
				s.fault(e.pos, "from", f)
				continue
			}
			pol.From = append(pol.From, NameItem{Pos: e.pos, Not: e.not, Name: e.text})
		}
	}
	pol.Forwarded = !pol.Local || every || len(pol.From) > 0
	if every { // whatever else is named is among them
		pol.From = slices.DeleteFunc(pol.From, func(n NameItem) bool { return !n.Not })
	}
}

// owner reads mac, which only forwarded traffic has, and uid, gid, cgroup and unit, which only
// local traffic has.
func (s *section) owner(pol *Policy) {
	for e := range s.entries("mac", neverNegated, false) {
		mac, f := parseMAC(e.text)
		if f != nil {
			s.fault(e.pos, "mac", f)
			continue
		}
		pol.MAC = append(pol.MAC, MACItem{Pos: e.pos, Addr: mac})
	}
	if len(pol.MAC) > 0 && pol.Local {
		s.errorAt(pol.MAC[0].Pos, codeConflict, "mac", `leave "local" out of from, or make two policies`,
			"the router's own packets have no source MAC address to select by")
	}
	pol.UID, pol.GID = s.uids("uid"), s.gids("gid")
	pol.Cgroups, pol.Units = s.programs("cgroup", cgroupFault), s.programs("unit", unitFault)
	s.localOnly(pol, "uid", positions(pol.UID))
	s.localOnly(pol, "gid", positions(pol.GID))
	s.localOnly(pol, "cgroup", programPositions(pol.Cgroups))
	s.localOnly(pol, "unit", programPositions(pol.Units))
}

func positions(items []NumItem) (out []Pos) {
	for _, i := range items {
		out = append(out, i.Pos)
	}
	return out
}

// localOnly reports a key that only the router's own traffic has in a policy for other traffic.
func (s *section) localOnly(pol *Policy, key string, items []Pos) {
	if len(items) > 0 && pol.Forwarded {
		s.errorAt(items[0], codeConflict, key, `write from = ["local"]`, "only the router's own traffic has a %s", key)
	}
}

// ipVersion reads ipv.
func (s *section) ipVersion(pol *Policy) {
	f := s.get("ipv")
	if f == nil {
		return
	}
	v, pos := f.Value.Text, s.p.nodePos(&f.Value)
	if f.Value.Kind == tomltree.Integer && (v == "4" || v == "6") {
		pol.IPVersion = int(v[0] - '0')
		return
	}
	hint := "write ipv = 4 or ipv = 6; leave it out for both"
	switch {
	case f.Value.Kind != tomltree.Integer:
		s.errorAt(pos, codeWrongType, "ipv", hint, "ipv: want 4 or 6, have %s", describe(&f.Value))
	default:
		s.errorAt(pos, codeBadValue, "ipv", hint, "invalid ipv %s", v)
	}
}

// icmp reads icmp-type. A name is meant for each family that has it and that proto allows.
func (s *section) icmp(pol *Policy) []ICMPItem {
	allowed := s.icmpFamilies(pol)
	var out []ICMPItem
	for e := range s.entries("icmp-type", neverNegated, true) {
		name := strings.ToLower(e.text)
		t4, is4 := icmp4.Get()[name]
		t6, is6 := icmp6.Get()[name]
		switch {
		case is4 || is6:
			before := len(out)
			if is4 && allowed&only4 != 0 {
				out = append(out, ICMPItem{e.pos, 4, uint8(t4)})
			}
			if is6 && allowed&only6 != 0 {
				out = append(out, ICMPItem{e.pos, 6, uint8(t6)})
			}
			if len(out) == before {
				s.errorAt(e.pos, codeImpossible, "icmp-type", "", "%s has no type %q",
					map[families]string{only4: "icmp", only6: "icmpv6"}[allowed], e.text)
			}
		case isNumber(e.text):
			n, f := icmpKind.number(e.text)
			switch {
			case f != nil:
				s.fault(e.pos, "icmp-type", f)
			case len(pol.Proto) == 0 || protoFamilySet(pol.Proto) == both:
				s.errorAt(e.pos, codeConflict, "icmp-type", `add proto = "icmp" or proto = "icmpv6", or write the type's name`,
					"type %d means different things in ICMP and ICMPv6", n)
			case allowed == only4:
				out = append(out, ICMPItem{e.pos, 4, uint8(n)})
			default:
				out = append(out, ICMPItem{e.pos, 6, uint8(n)})
			}
		default:
			_, _, f := (&numberKind{what: "ICMP type", high: 255, names: &icmpNames, hint: icmpKind.hint}).parse(e.text)
			s.fault(e.pos, "icmp-type", f)
		}
	}
	if len(out) > 0 && len(pol.SPort)+len(pol.DPort) > 0 {
		s.errorAt(out[0].Pos, codeConflict, "icmp-type", "make two policies", "ICMP has no ports, and sport or dport selects some")
	}
	return out
}

// icmpNames has the names of both families, for suggestions.
var icmpNames = lazy.Value[map[string]uint32]{Make: func() map[string]uint32 {
	all := maps.Clone(icmp4.Get())
	maps.Copy(all, icmp6.Get())
	return all
}}

// icmpFamilies returns the families whose ICMP types proto allows, and reports other protocols.
func (s *section) icmpFamilies(pol *Policy) families {
	if s.fields.Get("icmp-type") == nil {
		return both
	}
	var f families
	for _, item := range pol.Proto {
		switch {
		case item.Not:
		case item.From == ipproto.ICMP:
			f |= only4
		case item.From == ipproto.ICMPv6:
			f |= only6
		default:
			s.errorAt(item.Pos, codeConflict, "proto", `icmp-type goes with "icmp" and "icmpv6"`,
				"protocol %s has no ICMP types, and icmp-type selects some", protoName(item.From))
		}
	}
	if f == 0 {
		f = both
	}
	if left := f & versionFamilies(pol.IPVersion); left != 0 {
		return left
	}
	return f // policyFamilies reports it
}

// versionFamilies returns what ipv allows.
func versionFamilies(version int) families {
	switch version {
	case 4:
		return only4
	case 6:
		return only6
	}
	return both
}

// neverClassified warns of entries for packets that no policy sees: they never leave the link.
func (s *section) neverClassified(pol *Policy) {
	for _, item := range pol.Dst {
		from, to := item.Range.From, item.Range.To
		if item.List == "" && !item.Not && (from.IsMulticast() && to.IsMulticast() || from.IsLinkLocalUnicast() &&
			to.IsLinkLocalUnicast() || from == allIPv4.To) {
			s.p.warnf(item.Pos, codeDeadEntry, s.key("dst"), "",
				"%s: dst %s can never match: multicast, broadcast and link-local destinations are left alone",
				s.title(), item.Range)
		}
	}
	for _, item := range pol.ICMP {
		// Router and neighbour discovery, RFC 4861.
		if item.Family == 6 && item.Type >= 133 && item.Type <= 137 {
			s.p.warnf(item.Pos, codeDeadEntry, s.key("icmp-type"), "",
				"%s: ICMPv6 type %d can never match: router and neighbour discovery is left alone",
				s.title(), item.Type)
		}
	}
}

// policyFamilies reports matches that exclude each other by IP version.
func (s *section) policyFamilies(pol *Policy) {
	icmp := both
	if len(pol.ICMP) > 0 {
		icmp = 0
		for _, item := range pol.ICMP {
			icmp |= map[int]families{4: only4, 6: only6}[item.Family]
		}
	}
	s.checkFamilies([]limit{{"ipv", versionFamilies(pol.IPVersion)}, {"src", s.p.addrFamilies(pol.Src)}, {"dst", s.p.addrFamilies(pol.Dst)},
		{"proto", protoFamilySet(pol.Proto)}, {"icmp-type", icmp}}, pol.Src, pol.Dst)
}
