package doctor

import (
	"fmt"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// codeNoCgroups is the code of Cgroups.
const codeNoCgroups = "no-cgroup2"

// Cgroups warns of policies that select by control groups where cgroup v2 is not mounted: they
// match nothing.
func Cgroups(doc *policy.Document, host plan.HostFacts) (ds policy.Diagnostics) {
	if !host.NoCgroups {
		return nil
	}
	for i := range doc.Policies {
		p := &doc.Policies[i]
		for _, list := range []struct {
			key   string
			items []policy.ProgramItem
		}{{"cgroup", p.Cgroups}, {"unit", p.Units}} {
			if len(list.items) > 0 {
				ds = append(ds, policy.Diagnostic{
					Pos: list.items[0].Pos, Severity: policy.Warning, Code: codeNoCgroups, Key: "policy." + list.key,
					Hint: "mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with cgroup v2",
					Message: fmt.Sprintf("policy %q matches nothing: cgroup v2 is not mounted on this "+
						"machine, and %s needs it", p.Name, list.key),
				})
			}
		}
	}
	return ds
}

// cgroups reports whether policies can find processes by their control groups.
func (e *examination) cgroups() {
	if e.Doc == nil || !policy.HasPrograms(e.Doc) {
		return
	}
	const subject = "control groups"
	if e.noCgroups {
		e.add(Fail, subject, "mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with cgroup v2",
			"cgroup v2 is not mounted: policies with cgroup or unit match nothing")
		return
	}
	e.ok(subject, "cgroup v2 is mounted: policies find units and control groups")
}
