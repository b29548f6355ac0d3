package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

func decimal(v int64) string { return strconv.FormatInt(v, 10) }

// suggestName is suggest for the names of objects, which may be many; prefix is what references put
// before them.
func suggestName(got string, valid []string, prefix string) string {
	if len(valid) == 0 && prefix == "@" {
		return "the file has no lists: write this one into [lists]"
	}
	if len(valid) == 0 {
		return "there are none in the file"
	}
	hint := suggest(got, valid)
	if prefix != "" {
		hint = strings.ReplaceAll(hint, `"`+prefix, `"`)
		hint = strings.Replace(hint, `did you mean "`, `did you mean "`+prefix, 1)
	}
	return hint
}

func (p *parser) listNames() []string    { return slices.Sorted(maps.Keys(p.lists)) }
func (p *parser) uplinkNames() []string  { return slices.Sorted(maps.Keys(p.uplinks)) }
func (p *parser) tableNames() []string   { return slices.Sorted(maps.Keys(p.tables)) }
func (p *parser) balanceNames() []string { return slices.Sorted(maps.Keys(p.balances)) }

// nameHint says what names look like.
const nameHint = "names have 1 to 32 letters, digits, \"_\", \".\" and \"-\", and start with a letter or digit"

// objectName reads a section's name, makes it the section's label and checks its form. It
// returns "" when there is none; a malformed one is returned, so that references find it.
func (s *section) objectName(kind, example string) (string, Pos) {
	name, pos := s.required("name", example)
	if pos.Line == 0 {
		s.p.misnamed = s.p.misnamed || kind == "uplink"
		return "", pos
	}
	s.kind, s.name = kind, name
	if !validName(name) {
		s.errorAt(pos, codeBadName, "name", nameHint, "invalid name %q", name)
	}
	return name, pos
}

// notReserved reports names that uplinks and tables cannot have.
func (s *section) notReserved(name string, pos Pos) {
	if isReserved(name) {
		s.errorAt(pos, codeBadName, "name", "choose another name", "the name %q is reserved", name)
	}
}

// taken reports that a name stands for another object already.
func (s *section) taken(name string, pos Pos, kind string, first Pos) {
	s.p.misnamed = s.p.misnamed || s.kind == "uplink"
	s.errorAt(pos, codeDuplicateName, "name", "", "the name %q is taken by the %s at line %d", name, kind, first.Line)
}

// target reads where something leads: exactly one of the given keys. Position line 0 means
// that there was none that can be used.
func (s *section) target(keys ...string) Target {
	var first string
	var out Target
	for _, key := range keys {
		if s.fields.Get(key) == nil {
			s.get(key)
			continue
		}
		if first != "" {
			s.get(key)
			s.errorAt(s.keyPos(key), codeConflict, key, "keep one of them", "%s and %s exclude each other", first, key)
			continue
		}
		first = key
		out = s.oneTarget(key, slices.Contains(keys, "default"))
	}
	if first == "" {
		s.errorAt(s.pos(), codeMissingKey, "", "add one of "+strings.Join(keys, ", "), "the target is missing")
	}
	return out
}

// severalTargets is the hint for an array where one name of that kind has to be.
func severalTargets(key string) string {
	if key == "balance" {
		return `write one name; a [[balance]] can have all members: members = ["NAME", "OTHER"]`
	}
	return `one after the other: a [[table]] with routes = [{ uplink = "NAME", distance = 1 }, { uplink = "OTHER", distance = 2 }], ` +
		`and table = "ITS NAME" here; all at once: a [[balance]], and balance = "ITS NAME"`
}

// action reads what a policy does instead of leading somewhere.
func (s *section) action() Target {
	word, pos := s.str("action")
	switch {
	case pos.Line == 0:
		return Target{}
	case word == "unreachable":
		return Target{Pos: pos, Kind: ToUnreachable}
	case word == "drop":
		return Target{Pos: pos, Kind: ToDrop}
	}
	s.errorAt(pos, codeBadValue, "action", suggestAction(word), "invalid action %q", word)
	return Target{}
}

// ruleTables are the reserved names that a rule can look into.
var ruleTables = map[string]TargetKind{"default": ToDefault, "main": ToMain}

// policyActions are what a policy can do instead of leading somewhere.
var policyActions = []string{"unreachable", "drop"}

// oneTarget reads one of target's keys.
func (s *section) oneTarget(key string, hasDefault bool) Target {
	if key == "action" {
		return s.action()
	}
	if key == "default" {
		pos := s.keyPos(key)
		if !s.boolean(key, true) && s.fields.Get(key).Value.Text == "false" {
			s.errorAt(pos, codeBadValue, key, "write default = true, or another target instead", "default = false leads nowhere")
			return Target{}
		}
		return Target{Pos: pos, Kind: ToDefault}
	}
	if f := s.fields.Get(key); f.Value.Kind == tomltree.Array && len(*f.Value.Items) > 0 {
		s.get(key)
		s.errorAt(s.p.nodePos(&f.Value), codeWrongType, key, severalTargets(key), "want one %s, have an array", key)
		return Target{}
	}
	name, pos := s.str(key)
	if pos.Line == 0 {
		return Target{}
	}
	if key == "table" && s.path == "rule" {
		if kind, reserved := ruleTables[name]; reserved {
			return Target{Pos: pos, Kind: kind}
		}
	}
	_, isUplink := s.p.uplinks[name]
	_, isTable := s.p.tables[name]
	_, isBalance := s.p.balances[name]
	switch {
	case isUplink && (key == "uplink" || key == "table"): // the pinned table has the uplink's name
		return Target{Pos: pos, Kind: ToUplink, Name: name}
	case isTable && key == "table":
		return Target{Pos: pos, Kind: ToTable, Name: name}
	case isBalance && key == "balance":
		return Target{Pos: pos, Kind: ToBalance, Name: name}
	}
	if s.p.misnamed && (key == "uplink" || key == "table") {
		return Target{}
	}
	s.errorAt(pos, codeUnknownName, key, s.targetHint(key, name, isUplink, isTable, isBalance, hasDefault), "there is no %s %q", key, name)
	return Target{}
}

// targetHint says what may have been meant by a reference that leads nowhere.
func (s *section) targetHint(key, name string, isUplink, isTable, isBalance, hasDefault bool) string {
	switch {
	case isUplink:
		return fmt.Sprintf("it is an uplink: write uplink = %q", name)
	case isTable:
		return fmt.Sprintf("it is a table: write table = %q", name)
	case isBalance && hasDefault: // the sections that know default know balance, too
		return fmt.Sprintf("it is a balance: write balance = %q", name)
	case isBalance:
		return "it is a balance, which only a [[policy]] can use"
	case (name == "default" || name == "main") && hasDefault:
		return "write default = true"
	case ruleTables[name] != 0 && s.path == "rule":
		return fmt.Sprintf("write table = %q", name)
	case name == "default":
		return "[default] cannot be named here: make a [[table]] with its routes"
	}
	switch key {
	case "uplink":
		return suggestName(name, s.p.uplinkNames(), "")
	case "balance":
		return suggestName(name, s.p.balanceNames(), "")
	}
	names := append(s.p.tableNames(), s.p.uplinkNames()...)
	if s.path == "rule" {
		names = append(names, slices.Sorted(maps.Keys(ruleTables))...)
	}
	return suggestName(name, names, "")
}
