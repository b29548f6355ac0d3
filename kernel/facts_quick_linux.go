package kernel

import (
	"pbr/compiler/plan"
	"pbr/kernel/facts"
	"pbr/kernel/route"
)

// QuickFacts are those of Facts that take no time: the machine, ip rules, and the settings that are
// named. With trial the kernel's are tried, too. What cannot be read is left out.
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
