package policy

import (
	"fmt"
	"slices"
	"strings"
)

// lintBalance warns of balances that balance nothing.
func (p *parser) lintBalance() {
	for i := range p.doc.Balances {
		b := &p.doc.Balances[i]
		if len(b.Members) == 1 {
			m := b.Members[0]
			key := "uplink"
			if m.Target.Kind == ToTable {
				key = "table"
			}
			p.warnf(b.Pos, codeOneMember, "balance.members", fmt.Sprintf("add another, or have policies say %s = %q", key, m.Target.Name),
				"balance %q has one member, and so nothing to choose", b.Name)
			continue
		}
		many := func(field string) bool { return field == "src" || field == "dst" || field == "sport" }
		if b.Method == BalanceHash && !slices.ContainsFunc(b.Hash, many) {
			p.warnf(b.Pos, codeNarrowHash, "balance.hash", `add "src" or "dst"`,
				"balance %q: a hash of %s alone sends all connections to one service by the same member", b.Name,
				strings.Join(b.Hash, " and "))
		}
	}
}
