package kernel

import (
	"pbr/compiler/plan"
	"pbr/kernel/facts"
	"pbr/kernel/route"
)

// QuickFacts reads the facts that take no time: the host facts, ip rules, and the named settings.
// With trial set it also tries the kernel's features. What cannot be read is omitted.
func (k *Kernel) QuickFacts(settings []string, trial bool) *facts.Facts {
	f := &facts.Facts{Sysctls: map[string]string{}}
	f.Host, _ = k.HostFacts(plan.Needs{})
	f.Rules, _ = k.route.AllRules()
	f.Defaults, _ = k.route.Defaults(f.Rules)
	if trial {
		f.Features, _ = features()
	}
	for _, path := range settings {
		if v, err := route.ReadSysctl(path); err == nil {
			f.Sysctls[path] = v
		}
	}
	f.State, _ = k.state()
	return f
}
