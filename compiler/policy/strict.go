package policy

import "slices"

// StrictUplinks returns the uplinks that strict policies lead to, sorted.
func StrictUplinks(doc *Document) []string {
	var names []string
	balances := map[string]bool{}
	for i := range doc.Policies {
		switch p := &doc.Policies[i]; {
		case !p.Strict:
		case p.Target.Kind == ToUplink:
			names = append(names, p.Target.Name)
		case p.Target.Kind == ToBalance:
			balances[p.Target.Name] = true
		}
	}
	for i := range doc.Balances {
		if !balances[doc.Balances[i].Name] {
			continue
		}
		for _, m := range doc.Balances[i].Members {
			names = append(names, doc.UplinksOf(m.Target)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// StrictVariants returns the tables that fall back, and that a strict policy balances over, in file
// order: there they must not.
func StrictVariants(doc *Document) []*Table {
	used := map[string]bool{}
	for i := range doc.Balances {
		b := &doc.Balances[i]
		strict := anyPolicy(doc, func(p *Policy) bool {
			return p.Strict && p.Target.Kind == ToBalance && p.Target.Name == b.Name
		})
		for _, m := range b.Members {
			if strict && m.Target.Kind == ToTable {
				used[m.Target.Name] = true
			}
		}
	}
	var tables []*Table
	for i := range doc.Tables {
		if t := &doc.Tables[i]; used[t.Name] && !t.Strict {
			tables = append(tables, t)
		}
	}
	return tables
}

// MakesUnreachable reports whether a policy makes connections unreachable: by its action, or
// because it is strict and has no uplink.
func MakesUnreachable(doc *Document) bool {
	return anyPolicy(doc, func(p *Policy) bool { return p.Strict || p.Target.Kind == ToUnreachable })
}

// Drops reports whether a policy drops connections.
func Drops(doc *Document) bool {
	return anyPolicy(doc, func(p *Policy) bool { return p.Target.Kind == ToDrop })
}

// Refuses reports whether a policy has an action instead of a target.
func Refuses(doc *Document) bool {
	return anyPolicy(doc, func(p *Policy) bool { return p.Target.Refuses() })
}

// anyPolicy reports whether one of the policies is such. They are large: none is copied.
func anyPolicy(doc *Document, such func(*Policy) bool) bool {
	for i := range doc.Policies {
		if such(&doc.Policies[i]) {
			return true
		}
	}
	return false
}
