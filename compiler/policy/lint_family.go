package policy

// lintOneFamily warns of a table that has a default route for one IP version only, while policies
// send it the other, too. It is silent about a version that no uplink of the file carries: then
// pbr has nothing to say about that version at all.
func (p *parser) lintOneFamily() {
	var carried families
	for i := range p.doc.Uplinks {
		carried |= p.doc.Uplinks[i].families()
	}
	if carried != both {
		return
	}
	sent := map[string]families{}
	for i := range p.doc.Policies {
		switch pol := &p.doc.Policies[i]; pol.Target.Kind {
		case ToTable:
			sent[pol.Target.Name] |= p.policyVersions(pol)
		case ToUplink:
			p.oneFamilyUplink(pol)
		}
	}
	for i := range p.doc.Rules {
		if r := &p.doc.Rules[i]; r.Target.Kind == ToTable {
			sent[r.Target.Name] |= p.addrFamilies(r.Src) & p.addrFamilies(r.Dst) & protoFamilySet(r.Proto)
		}
	}
	for i := range p.doc.Balances {
		for _, m := range p.doc.Balances[i].Members {
			if m.Target.Kind == ToTable {
				sent[m.Target.Name] = both
			}
		}
	}
	for i := range p.doc.Tables {
		t := &p.doc.Tables[i]
		p.oneFamily(t, "table \""+t.Name+"\"", "table", sent[t.Name])
	}
	if p.doc.Default != nil {
		p.oneFamily(p.doc.Default, "[default]", "default", both)
	}
}

// oneFamilyUplink warns of a policy that sends an uplink what it does not carry.
func (p *parser) oneFamilyUplink(pol *Policy) {
	versions := p.policyVersions(pol)
	switch has := p.doc.Uplinks[p.uplinks[pol.Target.Name]].families(); {
	case versions&^has == 0, pol.Strict && versions&has != 0: // the other version is unreachable, as strict says
	case versions&has == 0:
		p.warnf(pol.Target.Pos, codeOneFamily, "policy.uplink", "send it to an uplink or table that carries it",
			"policy %q never uses uplink %q, which does not carry its IP version", pol.Name, pol.Target.Name)
	case len(pol.Src)+len(pol.Dst) == 0 && pol.IPVersion == 0:
		p.warnf(pol.Target.Pos, codeOneFamily, "policy.uplink", "add ipv = 4 or 6 if that is intended",
			"policy %q: uplink %q carries one IP version only; connections of the other go by [default] or main", pol.Name, pol.Target.Name)
	}
}

// policyVersions returns the IP versions that a policy can match.
func (p *parser) policyVersions(pol *Policy) families {
	f := versionFamilies(pol.IPVersion) & p.addrFamilies(pol.Src) & p.addrFamilies(pol.Dst) & protoFamilySet(pol.Proto)
	if len(pol.ICMP) == 0 {
		return f
	}
	var icmp families
	for _, item := range pol.ICMP {
		icmp |= versionFamilies(item.Family)
	}
	return f & icmp
}

// oneFamily warns of one table.
func (p *parser) oneFamily(t *Table, label, key string, sent families) {
	var has families
	for i := range t.Routes {
		switch r := &t.Routes[i]; {
		case !r.Dst.IsValid():
			has |= p.doc.Uplinks[p.uplinks[r.Uplink]].families()
		case r.Dst.Bits() == 0:
			has |= familyOf(r.Dst.Addr())
		}
	}
	lacks := both &^ has
	if has == 0 || lacks&sent == 0 {
		return
	}
	then := "they fall through to default and the main table"
	switch {
	case t.Strict:
		then = "they are answered with \"unreachable\", as the table is strict"
	case key == "default":
		then = "they fall through to the main table"
	}
	p.warnf(t.Pos, codeOneFamily, key+".routes", "",
		"%s has no default route for %s: none of its uplinks carries %s connections; %s", label, lacks, lacks, then)
}
