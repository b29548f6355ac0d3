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
		text = strings.TrimSpace(uncommented(text))
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

// uncommented returns a line without its comment. A "#" in a string begins none.
func uncommented(line string) string {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return line[:i]
		}
	}
	return line
}

// inlineTable returns the only { ... } of a line that is not inside another, or nothing. Braces in
// strings and comments are none.
func inlineTable(line string) string {
	from, to, depth := -1, -1, 0
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			i = len(line)
		case c == '{':
			if depth++; depth == 1 && from >= 0 {
				return ""
			} else if depth == 1 {
				from = i
			}
		case c == '}':
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
