package policy

import (
	"strings"

	"pbr/compiler/ipproto"
	"pbr/compiler/policy/internal/tomltree"
)

// negation reports whether a key's entries may be negated; otherwise why not.
type negation string

const (
	mayNegate    negation = ""
	neverNegated negation = "list what is meant instead"
	ruleNegated  negation = "an ip rule can only be negated as a whole; use a [[policy]]"
)

// entry is the text of one element, without its "!".
type entry struct {
	text string
	not  bool
	pos  Pos
}

// entries yields a key's elements as text: strings, and integers where numbers is set.
func (s *section) entries(key string, neg negation, numbers bool) func(yield func(entry) bool) {
	return func(yield func(entry) bool) {
		for n := range s.items(key) {
			e := entry{text: n.Text, pos: s.p.nodePos(n)}
			switch {
			case n.Kind == tomltree.String:
				if strings.HasPrefix(e.text, "!") {
					e.not, e.text = true, strings.TrimSpace(e.text[1:])
				}
			case n.Kind == tomltree.Integer && numbers:
				if v := n.Int(); v >= 0 {
					e.text = decimal(v)
				}
			case numbers:
				s.wrongType(key, n, "a number or a string, or a list of these")
				continue
			default:
				s.wrongType(key, n, "a string or a list of strings")
				continue
			}
			if e.not && neg != mayNegate {
				s.errorAt(e.pos, codeNegation, key, string(neg), "%s cannot be negated with \"!\"", key)
				continue
			}
			if !yield(e) {
				return
			}
		}
	}
}

// addrs reads addresses, prefixes, ranges and @lists.
func (s *section) addrs(key string, neg negation) []AddrItem {
	out := s.p.addrSlab.Take(s.count(key))
	for e := range s.entries(key, neg, false) {
		item := AddrItem{Pos: e.pos, Not: e.not}
		if name, ok := strings.CutPrefix(e.text, "@"); ok {
			draft := s.p.lists[name]
			if draft == nil {
				s.errorAt(e.pos, codeUnknownName, key, suggestName(name, s.p.listNames(), "@"), "%s: there is no list %q", key, name)
				continue
			}
			draft.used = true
			item.List = name
		} else {
			r, f := parseRange(e.text)
			if f != nil {
				s.fault(e.pos, key, f)
				continue
			}
			item.Range = r
		}
		out = append(out, item)
	}
	return out
}

// numbers reads numbers of a kind.
func (s *section) numbers(key string, kind *numberKind, neg negation) []NumItem {
	out := s.p.numSlab.Take(s.count(key))
	for e := range s.entries(key, neg, true) {
		low, high, f := kind.parse(e.text)
		if f != nil {
			s.fault(e.pos, key, f)
			continue
		}
		out = append(out, NumItem{Pos: e.pos, Not: e.not, From: low, To: high})
	}
	return out
}

// ports reads ports, ranges of ports and service names.
func (s *section) ports(key string, neg negation) []PortItem {
	out := s.p.portSlab.Take(s.count(key))
	for e := range s.entries(key, neg, true) {
		low, high, f := portKind.parse(e.text)
		if f != nil {
			s.fault(e.pos, key, f)
			continue
		}
		out = append(out, PortItem{Pos: e.pos, Not: e.not, From: uint16(low), To: uint16(high)})
	}
	return out
}

// uids reads uids, ranges of uids and user names.
func (s *section) uids(key string) []NumItem {
	var out []NumItem
	for e := range s.entries(key, neverNegated, true) {
		low, high, f := s.p.uid(e.text)
		if f != nil {
			s.fault(e.pos, key, f)
			continue
		}
		out = append(out, NumItem{Pos: e.pos, From: low, To: high})
	}
	return out
}

// uid reads one uid, a range, or a user's name.
func (p *parser) uid(v string) (low, high uint32, f *fault) {
	if v != "" && (v[0] < '0' || v[0] > '9') {
		if p.opts.LookupUser != nil {
			if uid, ok := p.opts.LookupUser(v); ok {
				return uid, uid, nil
			}
		}
		if uid, ok := users.Get()[v]; ok {
			return uid, uid, nil
		}
		return 0, 0, &fault{codeUnknownUser, "the uid of user \"" + v + "\" is not the same on every machine",
			"write the number that `id -u " + v + "` prints"}
	}
	return uidKind.parse(v)
}

// gids reads gids, ranges of gids and names of groups.
func (s *section) gids(key string) []NumItem {
	var out []NumItem
	for e := range s.entries(key, neverNegated, true) {
		low, high, f := parseGID(e.text)
		if f != nil {
			s.fault(e.pos, key, f)
			continue
		}
		out = append(out, NumItem{Pos: e.pos, From: low, To: high})
	}
	return out
}

// parseGID reads one gid, a range, or the name of a group whose gid Debian fixes.
func parseGID(v string) (low, high uint32, f *fault) {
	if v != "" && (v[0] < '0' || v[0] > '9') {
		if gid, ok := groups.Get()[v]; ok {
			return gid, gid, nil
		}
		return 0, 0, &fault{codeUnknownUser, "the gid of group \"" + v + "\" is not the same on every machine",
			"write the number that `getent group " + v + "` prints"}
	}
	return gidKind.parse(v)
}

// checkPorts reports ports next to protocols that have none.
func (s *section) checkPorts(proto []NumItem, sport, dport []PortItem) {
	if len(sport)+len(dport) == 0 {
		return
	}
	for _, item := range proto {
		if !item.Not && !hasPorts(item.From) {
			s.errorAt(item.Pos, codeConflict, "proto", "ports go with tcp, udp, sctp, dccp and udplite",
				"protocol %s has no ports, and sport or dport selects some", protoName(item.From))
		}
	}
}

// protoName returns a protocol's usual name, or its number.
func protoName(n uint32) string {
	switch n {
	case 4:
		return "ipip"
	case ipproto.ICMPv6:
		return "icmpv6"
	case 89:
		return "ospf"
	case 112:
		return "vrrp"
	case 41:
		return "sit"
	}
	for name, v := range protocols.Get() {
		if v == n {
			return name // the numbers above are those with several names
		}
	}
	return decimal(int64(n))
}

// addrFamilies returns the IP versions that entries can match; both when nothing says otherwise.
func (p *parser) addrFamilies(items []AddrItem) families {
	var f families
	positive := false
	for _, item := range items {
		if item.Not {
			continue
		}
		positive = true
		f |= p.itemFamilies(item)
	}
	if !positive {
		return both
	}
	return f
}

// itemFamilies returns the IP versions of one entry. A list whose content is not known, or that
// is empty, counts as both.
func (p *parser) itemFamilies(item AddrItem) families {
	if item.List == "" {
		return familyOf(item.Range.From)
	}
	if l := p.lists[item.List]; l != nil {
		if f := familiesOf(p.doc.Lists[l.index].Ranges); f != 0 && !p.doc.Lists[l.index].Variable() {
			return f
		}
	}
	return both
}

// protoFamilySet returns the IP versions that entries of proto can match.
func protoFamilySet(items []NumItem) families {
	var f families
	positive := false
	for _, item := range items {
		if !item.Not {
			positive = true
			f |= protoFamilies(item.From)
		}
	}
	if !positive {
		return both
	}
	return f
}

// limit is one key that limits the IP versions of a match.
type limit struct {
	key string
	fam families
}

// checkFamilies reports keys that exclude each other by IP version, and single entries of src or
// dst that can never match because of the other keys. It returns what is left.
func (s *section) checkFamilies(limits []limit, src, dst []AddrItem) families {
	left := both
	for i, l := range limits {
		if left&l.fam == 0 {
			var others []string
			for _, o := range limits[:i] {
				if o.fam != both {
					others = append(others, o.key)
				}
			}
			s.errorAt(s.keyPos(l.key), codeImpossible, l.key, "", "%s selects only %s, %s only %s: nothing can match",
				l.key, l.fam, strings.Join(others, " and "), left)
			return both
		}
		left &= l.fam
	}
	if left == both {
		return left
	}
	for _, side := range []struct {
		key   string
		items []AddrItem
	}{{"src", src}, {"dst", dst}} {
		for _, item := range side.items {
			if item.List == "" && !item.Not && familyOf(item.Range.From)&left == 0 {
				s.p.warnf(item.Pos, codeDeadEntry, s.key(side.key), "", "%s: %s %s can never match: the other keys allow only %s",
					s.title(), side.key, item.Range, left)
			}
		}
	}
	return left
}

// keyPos is the place of a key's value, or of the table when it is absent.
func (s *section) keyPos(key string) Pos {
	if f := s.fields.Get(key); f != nil {
		return s.p.nodePos(&f.Value)
	}
	return s.pos()
}
