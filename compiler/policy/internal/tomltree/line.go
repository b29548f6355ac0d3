package tomltree

import "strings"

// LineIn returns the line of the file that a line of a String's text stands in, both counted from
// 1. src is what the node was parsed from.
func LineIn(src string, n *Node, line int) int32 {
	raw, at := strings.TrimPrefix(src, "\uFEFF"), n.Line
	for range n.Line - 1 {
		_, raw, _ = strings.Cut(raw, "\n")
	}
	raw = string([]rune(raw)[n.Col-1:])
	quotes := raw[:min(3, len(raw))]
	if quotes != `"""` && quotes != "'''" {
		return at
	}
	raw = raw[3:]
	if rest, begins := strings.CutPrefix(strings.TrimPrefix(raw, "\r"), "\n"); begins {
		raw, at = rest, at+1
	}
	for i := 0; i < len(raw) && line > 1; i++ {
		rest := raw[i+1:]
		switch {
		case raw[i] == '\n':
			at++
			line--
		case raw[i] != '\\' || quotes == "'''":
		case strings.HasPrefix(strings.TrimLeft(rest, " \t\r"), "\n"): // the text goes on without an end of line
			blank := len(rest) - len(strings.TrimLeft(rest, " \t\r\n"))
			at += int32(strings.Count(rest[:blank], "\n"))
			i += blank
		default:
			if strings.HasPrefix(rest, "n") {
				line--
			}
			i++
		}
	}
	return at
}
