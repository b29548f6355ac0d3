package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pbr/compiler/policy/internal/tomltree"
)

// maxSticky bounds how long a client keeps its member: nftables timeouts are 32-bit milliseconds.
const maxSticky = 49 * 24 * time.Hour

const (
	// defaultPrefix6 is the network of one subscriber's link (RFC 4291, section 2.5.4): its hosts
	// change their addresses within it as they like (RFC 8981).
	defaultPrefix6 = 64
	// defaultClients is a /16 of them. A client takes some 100 bytes of the kernel's memory.
	defaultClients = 1 << 16
	maxClients     = 1 << 22
)

var hashFields = []string{"src", "dst", "sport", "dport", "proto"}

// classifiers are RouterOS' words for what a hash is over (per-connection-classifier).
var classifiers = map[string]string{
	"src-address": `["src"]`, "dst-address": `["dst"]`, "both-addresses": `["src", "dst"]`,
	"src-port": `["sport"]`, "dst-port": `["dport"]`, "both-ports": `["sport", "dport"]`,
	"src-address-and-port": `["src", "sport"]`, "dst-address-and-port": `["dst", "dport"]`,
	"both-addresses-and-ports": `["src", "dst", "sport", "dport"]`,
}

// balance reads one [[balance]].
func (p *parser) balance(s *section) {
	b := Balance{Pos: s.pos()}
	var pos Pos
	b.Name, pos = s.objectName("balance", "pool")
	if b.Name != "" {
		if first, ok := p.balances[b.Name]; ok {
			s.taken(b.Name, pos, "balance", p.doc.Balances[first].Pos)
		} else {
			p.balances[b.Name] = len(p.doc.Balances)
		}
	}
	method, _ := s.word("method", string(BalanceHash), string(BalanceHash), string(BalanceRoundRobin), string(BalanceRandom))
	b.Method = BalanceMethod(method)
	for e := range s.entries("hash", neverNegated, false) {
		switch {
		case !slices.Contains(hashFields, e.text):
			hint := suggest(e.text, hashFields)
			if fields := classifiers[e.text]; fields != "" {
				hint = "write hash = " + fields
			}
			s.errorAt(e.pos, codeBadValue, "hash", hint, "invalid hash %q", e.text)
		case slices.Contains(b.Hash, e.text):
			s.errorAt(e.pos, codeBadValue, "hash", "", "hash names %q twice", e.text)
		default:
			b.Hash = append(b.Hash, e.text)
		}
	}
	switch {
	case b.Method != BalanceHash && s.fields.Get("hash") != nil:
		s.errorAt(s.keyPos("hash"), codeConflict, "hash", `use method = "hash", or leave hash out`, "method %q hashes nothing", b.Method)
	case b.Method == BalanceHash && s.fields.Get("hash") == nil:
		b.Hash = []string{"src", "dst"}
	}
	b.CommonKeys = s.commonKeys()
	s.members(&b)
	b.Sticky = s.sticky()
	p.doc.Balances = append(p.doc.Balances, b)
}

// sticky reads both spellings of sticky: a time, or a table.
func (s *section) sticky() Sticky {
	st := Sticky{Prefix6: defaultPrefix6, Size: defaultClients}
	f := s.fields.Get("sticky")
	switch {
	case f == nil || f.Value.Kind == tomltree.String:
		st.Time = s.duration("sticky", 0, time.Second, maxSticky)
		return st
	case f.Value.Kind != tomltree.Table:
		s.get("sticky")
		s.errorAt(s.p.nodePos(&f.Value), codeWrongType, "sticky", stickyHint(&f.Value),
			"sticky: want a time, or an inline table { time = ... }, have %s", describe(&f.Value))
		return st
	}
	sub := s.table("sticky")
	sub.label = s.title() + ": sticky"
	if sub.fields.Get("time") == nil {
		sub.missing("time", `time = "1d"`)
	}
	st.Time = sub.duration("time", 0, time.Second, maxSticky)
	prefix, _ := sub.integer("prefix6", defaultPrefix6, 1, 128)
	size, _ := sub.integer("size", defaultClients, 1, maxClients)
	st.Prefix6, st.Size = int(prefix), int(size)
	sub.done()
	return st
}

// stickyHint says how to write what stands there as a number of seconds, or as a switch.
func stickyHint(n *tomltree.Node) string {
	if n.Kind == tomltree.Bool && n.Text == "false" {
		return "leave it out"
	}
	length := "1d"
	if seconds, err := strconv.ParseInt(n.Text, 10, 32); err == nil && seconds > 0 {
		length = ShowDuration(time.Duration(seconds) * time.Second)
	}
	return fmt.Sprintf("write how long a client keeps its member: sticky = %q, or { time = %q, prefix6 = "+
		"%d, size = %d }", length, length, defaultPrefix6, defaultClients)
}

// members reads a balance's members.
func (s *section) members(b *Balance) {
	if s.fields.Get("members") == nil {
		s.missing("members", requiredLists["members"])
	}
	seen := map[string]Pos{}
	var named []string // members that are bare names
	for n := range s.items("members") {
		if n.Kind == tomltree.String {
			if named = append(named, n.Text); len(named) == 1 {
				defer func(pos Pos) {
					s.errorAt(pos, codeWrongType, "members", s.membersHint(named),
						"members: want inline tables { uplink = ... }, have a string")
				}(s.p.nodePos(n))
			}
			continue
		}
		if n.Kind != tomltree.Table {
			s.wrongType("members", n, `{ uplink = "isp1", weight = 2 }`)
			continue
		}
		t := s.p.section(n.Fields, s.key("members"), s.title()+": member")
		m := Member{Pos: s.p.nodePos(n)}
		if t.fields.Get("balance") != nil {
			t.get("balance")
			t.errorAt(t.keyPos("balance"), codeBadValue, "balance", "make its members members of this one",
				"a balance cannot be a member of a balance")
		} else {
			m.Target = t.target("uplink", "table")
		}
		m.CommonKeys = t.commonKeys()
		weight, _ := t.integer("weight", 1, 1, maxWeight)
		m.Weight = int(weight)
		t.done()
		id := fmt.Sprint(m.Target.Kind, m.Target.Name)
		if first, ok := seen[id]; ok && m.Target.Kind != 0 {
			s.errorAt(m.Pos, codeConflict, "members", "give it a higher weight instead",
				"%q is a member already, at line %d", m.Target.Name, first.Line)
		}
		seen[id] = m.Pos
		b.Members = append(b.Members, m)
	}
}

// membersHint writes out as tables what was given as names.
func (s *section) membersHint(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		kind := "uplink"
		if _, isTable := s.p.tables[name]; isTable {
			kind = "table"
		}
		list[i] = fmt.Sprintf("{ %s = %q }", kind, name)
	}
	return "write members = [" + strings.Join(list, ", ") + "]"
}
