package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

// marks reads foreign packet marks: numbers, compared in all bits that are not ours, or
// "VALUE/MASK".
func (s *section) marks(key string) []MarkItem {
	var out []MarkItem
	for n := range s.items(key) {
		if m, ok := s.mark(key, n); ok {
			out = append(out, m)
		}
	}
	return out
}

// ruleMark reads a rule's fwmark, which is one.
func (s *section) ruleMark(r *Rule) {
	f := s.get("fwmark")
	if f == nil {
		return
	}
	if m, ok := s.mark("fwmark", &f.Value); ok {
		r.Mark, r.MarkMask = m.Value, m.Mask
	}
}

// mark reads one foreign mark; ok is false if it is wrong.
func (s *section) mark(key string, n *tomltree.Node) (item MarkItem, ok bool) {
	pos, text := s.p.nodePos(n), n.Text
	switch n.Kind {
	case tomltree.Integer:
		text = strings.ReplaceAll(text, "_", "")
	case tomltree.String:
	default:
		s.wrongType(key, n, `a number or "VALUE/MASK"`)
		return item, false
	}
	ours := s.p.doc.Settings.MarkMask
	value, mask, hasMask := strings.Cut(text, "/")
	v, err := strconv.ParseUint(value, 0, 32)
	m := uint64(^ours)
	if err == nil && hasMask {
		m, err = strconv.ParseUint(mask, 0, 32)
	}
	switch {
	case err != nil:
		s.errorAt(pos, codeBadValue, key, `write "0x100" or "0x100/0x700"`, "invalid %s %q", key, n.Text)
	case m == 0:
		s.errorAt(pos, codeBadValue, key, "", "%s %q has an empty mask: it would select everything", key, text)
	case uint32(v)&ours != 0 || hasMask && uint32(m)&ours != 0:
		s.errorAt(pos, codeForeignBits, key, s.ownMarkHint(), "%s %s uses bits of mark-mask %#08x, which are pbr's own", key, text, ours)
	case v&^m != 0:
		s.errorAt(pos, codeBadValue, key, fmt.Sprintf("write \"%#x/%#x\"", v&m, m),
			"%s %q has bits outside its mask: it could never match", key, text)
	default:
		return MarkItem{Pos: pos, Value: uint32(v), Mask: uint32(m)}, true
	}
	return item, false
}

// ownMarkHint says what to do instead of selecting by pbr's own marks.
func (s *section) ownMarkHint() string {
	if s.path == "rule" {
		return "use a [[policy]] or a fixed table for pbr's own marks; rules see only packets without one"
	}
	return "first packets carry no mark of pbr's: select by other bits, or give pbr others with mark-mask"
}

// sameMarks reports whether two lists of marks select the same.
func sameMarks(a, b []MarkItem) bool {
	return slices.EqualFunc(a, b, func(x, y MarkItem) bool { return x.Value == y.Value && x.Mask == y.Mask })
}
