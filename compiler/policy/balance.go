package policy

import (
	"fmt"
	"slices"
	"time"

	"pbr/compiler/policy/internal/tomltree"
)

// maxSticky bounds how long a client keeps its member: nftables timeouts are 32-bit milliseconds.
const maxSticky = 49 * 24 * time.Hour

var hashFields = []string{"src", "dst", "sport", "dport", "proto"}

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
			s.errorAt(e.pos, codeBadValue, "hash", suggest(e.text, hashFields), "hash cannot be over %q", e.text)
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
	s.members(&b)
	b.Sticky = s.duration("sticky", 0, time.Second, maxSticky)
	p.doc.Balances = append(p.doc.Balances, b)
}

// members reads a balance's members.
func (s *section) members(b *Balance) {
	if s.fields.Get("members") == nil {
		s.missing("members", requiredLists["members"])
	}
	seen := map[string]Pos{}
	for n := range s.items("members") {
		if n.Kind != tomltree.Table {
			s.wrongType("members", n, `a table, as { uplink = "isp1", weight = 2 }`)
			continue
		}
		t := s.p.section(n.Fields, s.key("members"), s.label+": member")
		m := Member{Pos: s.p.nodePos(n), Target: t.target("uplink", "table")}
		weight, _ := t.integer("weight", 1, 1, maxWeight)
		m.Weight = int(weight)
		t.done()
		id := fmt.Sprint(m.Target.Kind, m.Target.Name)
		if first, ok := seen[id]; ok && m.Target.Kind != 0 {
			s.errorAt(m.Pos, codeConflict, "members", "give it a higher weight instead", "%q is a member already, at line %d", m.Target.Name, first.Line)
		}
		seen[id] = m.Pos
		b.Members = append(b.Members, m)
	}
}
