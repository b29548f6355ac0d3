package policy

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/limits"
)

// maxProgram is how long a name may be: a set of nftables is named after it.
const maxProgram = 200

// unitSuffixes are the kinds of systemd's units that have a control group (systemd.unit(5)).
var unitSuffixes = []string{".service", ".slice", ".scope", ".socket", ".mount", ".swap"}

// programs reads control groups or units.
func (s *section) programs(key string, wrong func(string) *fault) (out []ProgramItem) {
	for e := range s.entries(key, neverNegated, false) {
		name := e.text
		if key == "cgroup" {
			name = strings.Trim(name, "/")
		}
		if f := wrong(name); f != nil {
			s.fault(e.pos, key, f)
			continue
		}
		if !slices.ContainsFunc(out, func(i ProgramItem) bool { return i.Name == name }) {
			out = append(out, ProgramItem{e.pos, name})
		}
	}
	return out
}

// cgroupFault says what is wrong with the path of a control group.
func cgroupFault(path string) *fault {
	const hint = `write its path below the root of the tree, as "system.slice/transmission.service"`
	parts := strings.Split(path, "/")
	switch {
	case path == "":
		return &fault{codeBadValue, "cgroup is the root of all", `leave it out, or ` + hint}
	case strings.HasPrefix(path, "sys/fs/cgroup"):
		return &fault{codeBadValue, fmt.Sprintf("cgroup %q begins with where the tree is mounted", path), hint}
	case slices.Contains(parts, "") || slices.Contains(parts, ".") || slices.Contains(parts, ".."):
		return &fault{codeBadValue, fmt.Sprintf("cgroup %q has empty parts, or dots for parts", path), hint}
	case len(parts) > limits.CgroupLevels:
		return &fault{codeBadValue, fmt.Sprintf("cgroup %q is more than %d levels below the root", path, limits.CgroupLevels),
			"name one that it is in: what is below is selected too"}
	}
	return tooLong("cgroup", path)
}

// unitFault says what is wrong with the name of a unit.
func unitFault(name string) *fault {
	const hint = `write it with its kind, as "transmission.service"`
	if strings.ContainsAny(name, "/ ") {
		return &fault{codeBadValue, fmt.Sprintf("invalid unit %q", name), hint + `; for a path use cgroup`}
	}
	for _, suffix := range unitSuffixes {
		if kind, ok := strings.CutSuffix(name, suffix); ok && kind != "" {
			return tooLong("unit", name)
		}
	}
	if !strings.Contains(name, ".") {
		hint := hint
		if name != "" {
			hint = fmt.Sprintf("write %q", name+".service")
		}
		return &fault{codeBadValue, fmt.Sprintf("unit %q does not say of which kind it is", name), hint}
	}
	return &fault{codeBadValue, fmt.Sprintf("unit %q is of no kind that has processes", name), "the kinds are " +
		strings.Join(unitSuffixes, ", ")}
}

func tooLong(key, name string) *fault {
	if len(name) > maxProgram || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 127 }) {
		return &fault{codeBadValue, fmt.Sprintf("%s %q is too long, or has control characters", key, name),
			fmt.Sprintf("%d bytes are the most", maxProgram)}
	}
	return nil
}

func programPositions(items []ProgramItem) (out []Pos) {
	for _, i := range items {
		out = append(out, i.Pos)
	}
	return out
}

func samePrograms(x, y ProgramItem) bool { return x.Name == y.Name }

// withinCgroup reports whether y is x, or below it.
func withinCgroup(x, y ProgramItem) bool { return InCgroup(x.Name, y.Name) }

// InCgroup reports whether a control group is another one, or below it.
func InCgroup(parent, path string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// InUnit reports whether a control group is a unit's, or below it.
func InUnit(unit, path string) bool {
	parts := strings.Split(path, "/")
	return slices.Contains(parts[:min(len(parts), limits.UnitLevels)], unit)
}

// HasPrograms reports whether a policy depends on control groups.
func HasPrograms(doc *Document) bool {
	return anyPolicy(doc, func(p *Policy) bool { return len(p.Cgroups)+len(p.Units) > 0 })
}

// PacketCgroup reads the control group of a packet's sender.
func PacketCgroup(key, text string) (string, error) {
	path := strings.Trim(strings.TrimPrefix(text, "/sys/fs/cgroup"), "/")
	if path == "" {
		return "", fmt.Errorf("%s: invalid path %q: write it as \"system.slice/transmission.service\"", key, text)
	}
	return path, nil
}
