package kernel

import (
	"pbr/compiler/plan"
	"pbr/kernel/facts"
	"pbr/kernel/route"
)

// QuickFacts reads the facts that take no time: beside host facts that were read, ip rules and the
// named settings. With trial set it also tries the kernel's features. What cannot be read is
// omitted.
func (k *Kernel) QuickFacts(host plan.HostFacts, settings []string, trial bool) *facts.Facts {
	f := &facts.Facts{Host: host, Sysctls: map[string]string{}}
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
