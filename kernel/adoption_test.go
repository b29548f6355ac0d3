package kernel

import (
	"testing"

	"pbr/compiler/plan"
)

// steering is a ruleset with base chains of some rules each.
func steering(pre, nat, forward int) *plan.Ruleset {
	rules := func(n int) []plan.ChainRule { return make([]plan.ChainRule, n) }
	r := &plan.Ruleset{Chains: []plan.Chain{
		{Name: "regular", Rules: rules(1)},
		{Name: "prerouting", Kind: "filter", Hook: "prerouting", Rules: rules(pre)},
	}}
	if nat > 0 {
		r.Chains = append(r.Chains, plan.Chain{Name: "nat", Kind: "nat", Hook: "postrouting", Rules: rules(nat)})
	}
	if forward > 0 {
		r.Chains = append(r.Chains, plan.Chain{Name: "fw", Kind: "filter", Hook: "forward", Rules: rules(forward)})
	}
	return r
}

// TestTableMade: somebody took away what steers new connections; an edit that adds NAT or offload did
// not.
func TestTableMade(t *testing.T) {
	none := &plan.Ruleset{}
	for _, c := range []struct {
		name             string
		have, want, last *plan.Ruleset
		made             bool
	}{
		{"first apply", none, steering(3, 1, 0), nil, true},
		{"nothing wanted", steering(3, 1, 0), none, nil, false},
		{"in sync", steering(3, 1, 0), steering(3, 1, 0), steering(3, 1, 0), false},
		{"the table was deleted", none, steering(3, 1, 0), steering(3, 1, 0), true},
		{"rules were flushed", steering(0, 0, 0), steering(3, 0, 0), nil, true},
		{"a rule was deleted", steering(2, 1, 0), steering(3, 1, 0), steering(3, 1, 0), true},
		{"the NAT chain was deleted", steering(3, 0, 0), steering(3, 1, 0), steering(3, 1, 0), true},
		{"an edit adds NAT", steering(3, 0, 0), steering(3, 1, 0), steering(3, 0, 0), false},
		{"an edit adds offload", steering(3, 1, 0), steering(3, 1, 1), steering(3, 1, 0), false},
		{"an edit needs fewer rules", steering(3, 1, 0), steering(2, 1, 0), steering(3, 1, 0), false},
	} {
		if made := tableMade(c.have, c.want, c.last); made != c.made {
			t.Errorf("%s: made is %v", c.name, made)
		}
	}
}

func TestFreeMark(t *testing.T) {
	p := &plan.Plan{Mask: 0x300, Numbers: []plan.Number{{Mark: 0}, {Mark: 0x300}, {Mark: 0x100}}}
	if mark, ok := freeMark(p); mark != 0x200 || !ok {
		t.Errorf("%#x, %v", mark, ok)
	}
	p.Numbers = append(p.Numbers, plan.Number{Mark: 0x200})
	if mark, ok := freeMark(p); ok {
		t.Errorf("%#x is free", mark)
	}
}
