package plan

import "strings"

// Of returns what a number's name is of, an uplink or a table, and which variant of it; the variant
// is empty for that itself. The compiler makes such names; a user's name cannot contain "/".
func (n *Number) Of() (name, variant string) { return NameOf(n.Name) }

// NameOf is Number.Of for a name alone.
func NameOf(number string) (name, variant string) {
	name, variant, _ = strings.Cut(number, "/")
	return name, variant
}

// IsVariant reports whether a number is a variant of an uplink or a table, such as a strict one.
func (n *Number) IsVariant() bool {
	_, variant := n.Of()
	return variant != ""
}

// PinnedMark returns the mark of an uplink's pinned table: that of probes, and of most connections
// pinned to it.
func PinnedMark(numbers []Number, uplink string) uint32 {
	for _, n := range numbers {
		if n.Uplink == uplink && !n.Strict && !n.Fallback {
			return n.Mark
		}
	}
	return 0
}

// PinnedMarks returns the marks of connections pinned to an uplink, and of those that strict
// policies or tables pinned to it.
func PinnedMarks(numbers []Number, uplink string) (pinned, strict []uint32) {
	for _, n := range numbers {
		switch {
		case n.Uplink != uplink:
		case n.Strict:
			strict = append(strict, n.Mark)
		default:
			pinned = append(pinned, n.Mark)
		}
	}
	return pinned, strict
}
