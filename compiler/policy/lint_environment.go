package policy

import "strings"

// EnvironmentName is how a name stands in the hook's environment: in upper case, and "_" for what
// cannot be in a variable's name.
func EnvironmentName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// lintEnvironment warns of tables that the hook could not tell apart.
func (p *parser) lintEnvironment() {
	if p.doc.Watch.Hook == "" {
		return
	}
	taken := map[string]string{}
	if p.doc.Default != nil {
		taken[EnvironmentName("default")] = "default"
	}
	for i := range p.doc.Tables {
		t := &p.doc.Tables[i]
		name := EnvironmentName(t.Name)
		if other, twice := taken[name]; twice {
			p.warnf(t.Pos, codeHookName, "table.name", "rename one of them",
				"tables %q and %q are both PBR_ACTIVE_%s to the hook, which sees the second one alone", other, t.Name, name)
		}
		taken[name] = t.Name
	}
}
