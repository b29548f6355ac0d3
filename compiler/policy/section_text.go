package policy

import "pbr/compiler/policy/internal/tomltree"

// SectionText returns the text of the section or inline table at a place of a policy file, on one
// line: the keys of a [[section]] but its name, or { ... }. It is empty if none begins there.
func SectionText(source []byte, at Pos) string {
	return tomltree.Section(string(source), int32(at.Line), int32(at.Col), "name")
}
