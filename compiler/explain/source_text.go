package explain

import "strings"

// sectionText returns the text of the policy or rule that begins at a line of a policy file, on one
// line: the keys of a [[policy]] but its name, or an inline table. It is empty where the text does
// not tell: several inline tables on that line.
func sectionText(source []byte, line int) string {
	lines := strings.Split(string(source), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	if first := strings.TrimSpace(lines[line-1]); !strings.HasPrefix(first, "[[") {
		return inlineTable(first)
	}
	var out []string
	for _, text := range lines[line:] {
		text = strings.TrimSpace(text[:len(unquoted(text))])
		if strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "[ ") && strings.HasSuffix(text, "]") {
			break
		}
		key, _, _ := strings.Cut(text, "=")
		if text != "" && strings.TrimSpace(key) != "name" {
			out = append(out, strings.Join(strings.Fields(text), " "))
		}
	}
	return strings.Join(out, "  ")
}

// unquoted returns a line up to its comment, with blanks in place of what is in strings: a "#" or a
// brace in one means nothing.
func unquoted(line string) string {
	out := []byte(line)
	quote := byte(0)
	for i := 0; i < len(out); i++ {
		switch c := out[i]; {
		case quote != 0:
			out[i] = ' '
			if c == '\\' && quote == '"' && i+1 < len(out) {
				i++
				out[i] = ' '
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return string(out[:i])
		}
	}
	return string(out)
}

// inlineTable returns the only { ... } of a line that is not inside another, or nothing.
func inlineTable(line string) string {
	from, to, depth := -1, -1, 0
	for i, c := range []byte(unquoted(line)) {
		switch c {
		case '{':
			if depth++; depth == 1 && from >= 0 {
				return ""
			} else if depth == 1 {
				from = i
			}
		case '}':
			if depth--; depth == 0 {
				to = i
			}
		}
	}
	if from < 0 || to < from {
		return ""
	}
	return strings.Join(strings.Fields(line[from:to+1]), " ")
}
