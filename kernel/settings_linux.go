package kernel

import (
	"errors"
	"io/fs"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
	"pbr/kernel/route"
)

// takeSettings returns the journal's entries about settings, before they are changed.
func takeSettings(changes []plan.SysctlChange) (out []setting) {
	for _, c := range changes {
		s := setting{Path: c.Path, Original: c.Have, Set: c.Want}
		restored := route.Dependents(c.Path, c.Have)
		for path, set := range route.Dependents(c.Path, c.Want) {
			// Those that are restored along with the setting need no entry.
			if live, err := route.ReadSysctl(path); err == nil && live != restored[path] {
				s.Dependents = append(s.Dependents, setting{Path: path, Original: live, Set: set})
			}
		}
		sorting.Func(s.Dependents, func(a, b setting) int { return settingPath(a, b.Path) })
		out = append(out, s)
	}
	return out
}

// dependentValues reads the settings that the kernel overwrites when path is written.
func dependentValues(path string) map[string]string {
	out := map[string]string{}
	for f := range route.Dependents(path, "") {
		if v, err := route.ReadSysctl(f); err == nil {
			out[f] = v
		}
	}
	return out
}

// writeWithDependents writes a setting, and then those of its dependents that need another value
// than the kernel gave them.
func writeWithDependents(path, value string, dependents map[string]string) error {
	if err := route.WriteSysctl(path, value); err != nil {
		return err
	}
	for f, v := range dependents {
		if now, err := route.ReadSysctl(f); err != nil || now == v {
			continue // -- the interface is gone, or nothing has to be done
		}
		if err := route.WriteSysctl(f, v); err != nil {
			return err
		}
	}
	return nil
}

// dependentsBefore returns the values for the dependents of a setting that is about to be restored:
// their value before ours if the kernel gave them the present one, otherwise the value that someone
// else has set since. live are their present values.
func dependentsBefore(s setting, live map[string]string) map[string]string {
	out := map[string]string{}
	made := route.Dependents(s.Path, s.Set)
	for path, v := range live {
		if v != made[path] {
			out[path] = v
		}
	}
	for _, f := range s.Dependents {
		if v, ok := live[f.Path]; ok && v == f.Set {
			out[f.Path] = f.Original
		}
	}
	return out
}

// restoreSetting restores a setting to its value before pbr, as c says. If its interface has just
// disappeared, nothing is left to restore.
func restoreSetting(c plan.SysctlChange, taken []setting) error {
	dependents := map[string]string{}
	if at, found := slices.BinarySearchFunc(taken, c.Path, settingPath); found {
		dependents = dependentsBefore(taken[at], dependentValues(c.Path))
	}
	err := writeWithDependents(c.Path, c.Want, dependents)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// setSysctl sets what the plan wants; a lenient apply skips it if that fails.
func (a *application) setSysctl(c plan.SysctlChange) step {
	var before map[string]string
	missing := false
	return step{
		what: "sysctl " + c.Path, partial: true,
		do: func() error {
			before = dependentValues(c.Path)
			err := route.WriteSysctl(c.Path, c.Want)
			if err == nil || !a.lenient {
				return err
			}
			missing = true
			a.want.Sysctls = slices.DeleteFunc(slices.Clone(a.want.Sysctls), func(s plan.Sysctl) bool { return s.Path == c.Path })
			a.leaveOut(err)
			return nil
		},
		undo: func() error {
			if missing {
				return nil
			}
			return writeWithDependents(c.Path, c.Have, before)
		},
	}
}

// restoreSysctl restores what the plan no longer sets.
func (a *application) restoreSysctl(c plan.SysctlChange) step {
	var before map[string]string
	return step{
		what: "sysctl " + c.Path, partial: true,
		do: func() error {
			before = dependentValues(c.Path)
			return restoreSetting(c, a.journal.Sysctls)
		},
		undo: func() error { return writeWithDependents(c.Path, c.Have, before) },
	}
}
