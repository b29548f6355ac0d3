package policy

// lintGatewayCheck warns of checks that ask the gateway alone: it answers also when the line
// behind it is dead.
func (p *parser) lintGatewayCheck() {
	for i := range p.doc.Uplinks {
		u := &p.doc.Uplinks[i]
		if c := &u.Check; c.Pos.Line != 0 && (c.Method == CheckPing || c.Method == CheckARP) && len(c.Targets) == 0 {
			p.warnf(c.Pos, codeGatewayCheck, "uplink.check", `check = { method = "ping", targets = ["8.8.8.8", "9.9.9.9"] } sees further`,
				"uplink %q: a check of the gateway sees only the first link: a line that is dead behind it counts as up", u.Name)
		}
	}
}
