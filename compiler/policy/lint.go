package policy

// lintWhole gives the warnings that judge the file as a whole, and the errors that only its whole
// shows. What was read so far has no errors.
func (p *parser) lintWhole() {
	p.lintNoUplink()
	p.lintForeignMask()
	p.lintOverlap()
	p.lintGatewayCheck()
	p.lintQuorum()
	p.lintEnvironment()
	p.lintSharedTargets()
	p.lintUnused()
	p.lintSchedules()
	p.lintBalance()
	p.lintOneFamily()
	p.lintStrictOneFamily()
	p.lintNoNAT()
	p.lintRuleNAT()
	p.lintFromUplink()
	p.lintSameRule()
	p.ds = append(p.ds, FallsBack(p.doc)...)
	p.lintCovered()
}

// hop is one uplink that a target leads to, and where over it.
type hop struct {
	uplink int // into doc.Uplinks
	route  *Route
}

// hops returns the uplinks that a table's routes use.
func (p *parser) hops(t *Table) []hop {
	out := make([]hop, 0, len(t.Routes))
	for i := range t.Routes {
		out = append(out, hop{p.uplinks[t.Routes[i].Uplink], &t.Routes[i]})
	}
	return out
}

// pinnedRoute stands for the default route of an uplink's own table.
var pinnedRoute = &Route{Distance: 1, Weight: 1}

// targetHops returns the uplinks that a target leads to.
func (p *parser) targetHops(t Target) []hop {
	switch t.Kind {
	case ToUplink:
		return []hop{{p.uplinks[t.Name], pinnedRoute}}
	case ToTable:
		return p.hops(&p.doc.Tables[p.tables[t.Name]])
	case ToBalance:
		var out []hop
		for _, m := range p.doc.Balances[p.balances[t.Name]].Members {
			out = append(out, p.targetHops(m.Target)...)
		}
		return out
	case ToDefault:
		if p.doc.Default != nil {
			return p.hops(p.doc.Default)
		}
	}
	return nil
}

// cachedHops returns a targetHops that does its work once per target.
func (p *parser) cachedHops() func(Target) []hop {
	type id struct {
		kind TargetKind
		name string
	}
	known := map[id][]hop{}
	return func(t Target) []hop {
		k := id{t.Kind, t.Name}
		out, ok := known[k]
		if !ok {
			out = p.targetHops(t)
			known[k] = out
		}
		return out
	}
}
