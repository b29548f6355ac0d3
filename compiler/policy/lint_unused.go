package policy

// lintUnused warns of what is defined and leads nowhere.
func (p *parser) lintUnused() {
	doc := p.doc
	uplinks, tables, balances := map[string]bool{}, map[string]bool{}, map[string]bool{}
	use := func(t Target) {
		switch t.Kind {
		case ToUplink:
			uplinks[t.Name] = true
		case ToTable:
			tables[t.Name] = true
		case ToBalance:
			balances[t.Name] = true
		}
	}
	routes := func(t *Table) {
		for i := range t.Routes {
			uplinks[t.Routes[i].Uplink] = true
		}
	}
	for i := range doc.Policies {
		use(doc.Policies[i].Target)
	}
	for i := range doc.Rules {
		use(doc.Rules[i].Target)
	}
	for i := range doc.Balances {
		for _, m := range doc.Balances[i].Members {
			use(m.Target)
		}
	}
	for i := range doc.Tables {
		routes(&doc.Tables[i])
	}
	if doc.Default != nil {
		routes(doc.Default)
	}
	for i := range doc.Lists {
		if l := &doc.Lists[i]; !p.lists[l.Name].used {
			p.warnf(l.Pos, codeUnusedList, "lists."+l.Name, "", "nothing uses list %q", l.Name)
		}
	}
	for i := range doc.Uplinks {
		if u := &doc.Uplinks[i]; !uplinks[u.Name] {
			p.warnf(u.Pos, codeUnusedUplink, "uplink", "",
				"nothing uses uplink %q: it only answers connections that arrive through it", u.Name)
		}
	}
	for i := range doc.Tables {
		if t := &doc.Tables[i]; !tables[t.Name] {
			p.warnf(t.Pos, codeUnusedTable, "table", "", "nothing uses table %q", t.Name)
		}
	}
	for i := range doc.Balances {
		if b := &doc.Balances[i]; !balances[b.Name] {
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
