package reference

import (
	"slices"
	"strings"
)

// Minimised returns the smallest policy that was found by leaving things out of p for which fails
// still holds. fails is given legal policies only as far as names go: nothing that is left refers
// to what is not there.
func Minimised(p *Policy, fails func(*Policy) bool) *Policy {
	for {
		smaller := smallerOne(p, fails)
		if smaller == nil {
			return p
		}
		p = smaller
	}
}

// smallerOne leaves one thing out; nil if nothing can be spared.
func smallerOne(p *Policy, fails func(*Policy) bool) *Policy {
	for _, c := range candidates(p) {
		if fails(c) {
			return c
		}
	}
	return nil
}

// candidates are p without one thing each: large parts first.
func candidates(p *Policy) (out []*Policy) {
	add := func(change func(*Policy)) {
		c := *p
		change(&c)
		out = append(out, &c)
	}
	for n := len(p.Policies); n > 1; n /= 2 {
		for i := 0; i+n/2 <= len(p.Policies); i += n / 2 {
			add(func(c *Policy) { c.Policies = without(p.Policies, i, n/2) })
		}
	}
	if len(p.Policies) == 1 {
		add(func(c *Policy) { c.Policies = nil })
	}
	for i := range p.Rules {
		add(func(c *Policy) { c.Rules = without(p.Rules, i, 1) })
	}
	for i := range p.Policies {
		for _, selector := range selectors {
			if c := p.Policies[i]; selector(&c) {
				add(func(all *Policy) { all.Policies = slices.Clone(p.Policies); all.Policies[i] = c })
			}
		}
	}
	return append(out, unused(p)...)
}

// selectors take one selector from a policy; they return false if it has none.
var selectors = []func(*Class) bool{
	func(c *Class) bool { return taken(&c.Src) }, func(c *Class) bool { return taken(&c.Dst) },
	func(c *Class) bool { return taken(&c.DSCP) },
	func(c *Class) bool { return taken(&c.MAC) }, func(c *Class) bool { return taken(&c.SPort) },
	func(c *Class) bool { return taken(&c.DPort) },
	func(c *Class) bool { return taken(&c.UID) }, func(c *Class) bool { return taken(&c.GID) },
	func(c *Class) bool { return taken(&c.Cgroup) }, func(c *Class) bool { return taken(&c.Unit) },
	func(c *Class) bool { had := c.MarkMask != 0; c.Mark, c.MarkMask = 0, 0; return had }, func(c *Class) bool { return taken(&c.ICMP) },
}

func taken[T any](list *[]T) bool {
	had := len(*list) > 0
	*list = nil
	return had
}

func without[T any](list []T, from, n int) []T {
	return slices.Delete(slices.Clone(list), from, from+n)
}

// unused are p without one object each that nothing refers to.
func unused(p *Policy) (out []*Policy) {
	for i := range p.Balances {
		c := *p
		c.Balances = without(p.Balances, i, 1)
		out = appendUnless(out, &c, `"`+p.Balances[i].Name+`"`)
	}
	for i := range p.Tables {
		c := *p
		c.Tables = without(p.Tables, i, 1)
		out = appendUnless(out, &c, `"`+p.Tables[i].Name+`"`)
	}
	for i := range p.Lists {
		c := *p
		c.Lists = without(p.Lists, i, 1)
		out = appendUnless(out, &c, "@"+p.Lists[i].Name+`"`)
	}
	return out
}

// appendUnless appends a policy whose text does not have a name any more.
func appendUnless(list []*Policy, p *Policy, name string) []*Policy {
	if strings.Contains(p.TOML(), name) {
		return list
	}
	return append(list, p)
}
