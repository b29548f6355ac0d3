package policy

// uses has the names that something leads to.
type uses struct{ uplinks, tables, balances map[string]bool }

// usesOf collects what policies, rules and members lead to, and the uplinks of routes.
func usesOf(doc *Document) uses {
	u := uses{uplinks: map[string]bool{}, tables: map[string]bool{}, balances: map[string]bool{}}
	for i := range doc.Policies {
		u.target(doc.Policies[i].Target)
	}
	for i := range doc.Rules {
		u.target(doc.Rules[i].Target)
	}
	for i := range doc.Balances {
		for _, m := range doc.Balances[i].Members {
			u.target(m.Target)
		}
	}
	for i := range doc.Tables {
		u.routes(&doc.Tables[i])
	}
	if doc.Default != nil {
		u.routes(doc.Default)
	}
	return u
}

func (u *uses) target(t Target) {
	switch t.Kind {
	case ToUplink:
		u.uplinks[t.Name] = true
	case ToTable:
		u.tables[t.Name] = true
	case ToBalance:
		u.balances[t.Name] = true
	}
}

func (u *uses) routes(t *Table) {
	for i := range t.Routes {
		u.uplinks[t.Routes[i].Uplink] = true
	}
}

// lintUnused warns of what is defined and leads nowhere.
func (p *parser) lintUnused() {
	doc, used := p.doc, usesOf(p.doc)
	for i := range doc.Lists {
		if l := &doc.Lists[i]; !p.lists[l.Name].used {
			p.warnf(l.Pos, codeUnusedList, "lists."+l.Name, "", "nothing uses list %q", l.Name)
		}
	}
	for i := range doc.Uplinks {
		if u := &doc.Uplinks[i]; !used.uplinks[u.Name] {
			p.warnf(u.Pos, codeUnusedUplink, "uplink", "",
				"nothing uses uplink %q: it only answers connections that arrive through it", u.Name)
		}
	}
	for i := range doc.Tables {
		if t := &doc.Tables[i]; !used.tables[t.Name] {
			p.warnf(t.Pos, codeUnusedTable, "table", "", "nothing uses table %q", t.Name)
		}
	}
	for i := range doc.Balances {
		if b := &doc.Balances[i]; !used.balances[b.Name] {
			p.warnf(b.Pos, codeUnusedBalance, "balance", "", "nothing uses balance %q", b.Name)
		}
	}
}

// lintFromUplink warns of policies for packets that arrive by an uplink.
func (p *parser) lintFromUplink() {
	byInterface := make(map[string]*Uplink, len(p.doc.Uplinks))
	for i := range p.doc.Uplinks {
		byInterface[p.doc.Uplinks[i].Interface] = &p.doc.Uplinks[i]
	}
	for i := range p.doc.Policies {
		pol := &p.doc.Policies[i]
		for _, item := range pol.From {
			if u := byInterface[item.Name]; u != nil && !item.Not {
				p.warnf(item.Pos, codeFromUplink, "policy.from", "",
					"policy %q: from %q can never match: packets that arrive through an uplink (%q) are "+
						"answered there, and no policy sees them",
					pol.Name, item.Name, u.Name)
			}
		}
	}
}

// lintNoUplink warns of a file that says nothing: it may have been cut off.
func (p *parser) lintNoUplink() {
	if len(p.doc.Uplinks) == 0 {
		p.warnf(p.pos(1, 1), codeNoUplink, "uplink", "add an [[uplink]]; pbr flush removes what pbr has installed",
			"the file has no uplink: pbr routes nothing")
	}
}
