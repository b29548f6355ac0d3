package compiler

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/limits"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// The kernel knows a control group by the number of its inode, which is another one each time that
// it is made. So a rule looks the socket's up in a set, and a set for each path and each unit gets
// its elements from the machine, as often as they change.

// programSets are the sets of control groups that a document's policies look in, each once. Their
// names are made of what systemd allows in NFTSet=.
func programSets(doc *policy.Document) (out []plan.CgroupSource) {
	add := func(unit bool, kind string, items []policy.ProgramItem) {
		for _, item := range items {
			if _, there := programSet(out, unit, item.Name); there {
				continue
			}
			name := kind + strings.Map(inSetName, item.Name)
			for n := 2; slices.ContainsFunc(out, func(s plan.CgroupSource) bool { return s.Set == name }); n++ {
				name = fmt.Sprintf("%s%s_%d", kind, strings.Map(inSetName, item.Name), n)
			}
			out = append(out, plan.CgroupSource{Set: name, Unit: unit, Name: item.Name})
		}
	}
	for i := range doc.Policies {
		add(false, "cgroup_", doc.Policies[i].Cgroups)
		add(true, "unit_", doc.Policies[i].Units)
	}
	return out
}

// inSetName maps what a set's name cannot have to "_".
func inSetName(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

func programSet(sets []plan.CgroupSource, unit bool, name string) (set string, ok bool) {
	for _, s := range sets {
		if s.Unit == unit && s.Name == name {
			return s.Set, true
		}
	}
	return "", false
}

// InPrograms reports whether a control group is in a set, by its path alone.
func InPrograms(doc *policy.Document, set, path string) bool {
	return path != "" && slices.ContainsFunc(programSets(doc), func(s plan.CgroupSource) bool {
		return s.Set == set && (s.Unit && policy.InUnit(s.Name, path) || !s.Unit && policy.InCgroup(s.Name, path))
	})
}

// programs returns the alternatives for the control group of the sender.
func (s *selection) programs() [][]plan.Match {
	all := anyPacket
	if p := s.policy; len(p.Cgroups) > 0 {
		var any [][]plan.Match
		for _, item := range p.Cgroups {
			any = append(any, s.inCgroup("cgroup ", false, item.Name, strings.Count(item.Name, "/")+1))
		}
		all = any
	}
	if p := s.policy; len(p.Units) > 0 {
		var any [][]plan.Match
		for _, item := range p.Units {
			for level := 1; level <= limits.UnitLevels; level++ {
				any = append(any, s.inCgroup("unit ", true, item.Name, level))
			}
		}
		all = s.c.combine(all, any)
	}
	return all
}

// inCgroup looks the socket's control group of a level up in a set, which becomes known.
func (s *selection) inCgroup(kind string, unit bool, name string, level int) []plan.Match {
	set, _ := programSet(s.c.programs, unit, name)
	if s.c.sets[set] == nil {
		s.c.sets[set] = &plan.Set{Name: set, Type: plan.TypeCgroup, Comment: cut(kind + name)}
	}
	return when(inSet(plan.CgroupField(level), set))
}

// cut shortens a comment to what the kernel's tools take.
func cut(comment string) string {
	const most = 120
	if len(comment) > most {
		return comment[:most]
	}
	return comment
}

// fillPrograms gives the sets of control groups their elements.
func (c *compilation) fillPrograms(sets []plan.Set) []plan.Set {
	if !policy.HasPrograms(c.doc) {
		return sets
	}
	sets = slices.Clone(sets)
	for i := range sets {
		if sets[i].Type == plan.TypeCgroup {
			sets[i].Elements = plan.CgroupElements(c.host.Cgroups[sets[i].Name])
		}
	}
	return sets
}
