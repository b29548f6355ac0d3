package policy

// lintStrictOneFamily warns of a policy that keeps hosts strictly to their uplinks and selects them
// by addresses of one IP version, while an uplink of the file carries the other: the same hosts'
// connections of that version are not kept. ipv says that this is meant; so do destinations and
// protocols of the named version alone, and a policy without src is for hosts of both.
func (p *parser) lintStrictOneFamily() {
	var carried families
	for i := range p.doc.Uplinks {
		carried |= p.doc.Uplinks[i].families()
	}
	for i := range p.doc.Policies {
		pol := &p.doc.Policies[i]
		named := p.addrFamilies(pol.Src)
		bySource := *pol
		bySource.Src = nil
		other := p.policyVersions(&bySource) &^ named // that only the sources keep out
		if len(pol.Src) == 0 || named == 0 || other&carried == 0 || pol.IPVersion != 0 || len(pol.MAC) > 0 || !p.keepsStrictly(pol) {
			continue
		}
		p.warnf(pol.Src[0].Pos, codeStrictOneFamily, "policy.src",
			"add the hosts' other addresses, select them by mac or from, or write ipv = "+
				map[families]string{only4: "4", only6: "6"}[named]+" if that is intended",
			"policy %q is strict and names sources of %s only: connections of the same hosts by %s are not "+
				"kept from other uplinks", pol.Name, named, other)
	}
}

// keepsStrictly reports whether a policy's connections go to its target or nowhere.
func (p *parser) keepsStrictly(pol *Policy) bool {
	strict := func(t Target) bool { return t.Kind == ToTable && p.doc.Tables[p.tables[t.Name]].Strict }
	if pol.Target.Kind != ToBalance {
		return pol.Strict || strict(pol.Target)
	}
	for _, m := range p.doc.Balances[p.balances[pol.Target.Name]].Members {
		if strict(m.Target) {
			return true
		}
	}
	return pol.Strict
}
