package routeros

import (
	"slices"
	"strings"
	"unicode/utf8"

	"pbr/compiler/from"
	"pbr/compiler/lazy"
)

// statement is a command in its section.
type statement struct {
	*from.Statement
	section string
	verb    string
	args    []arg
	words   []string
	find    []arg
}

// get returns the value of a key; the last one counts.
func (s *statement) get(key string) string {
	for i := len(s.args) - 1; i >= 0; i-- {
		if s.args[i].key == key {
			return s.args[i].value
		}
	}
	return ""
}

// has reports whether a key has that value.
func (s *statement) has(key, value string) bool { return s.get(key) == value }

func (s *statement) flag(word string) bool { return slices.Contains(s.words, word) }

// verbs are the commands that end a path.
var verbs = lazy.Value[map[string]bool]{Make: func() map[string]bool {
	return map[string]bool{"add": true, "set": true, "remove": true, "print": true, "enable": true, "disable": true,
		"move": true, "edit": true,
		"unset": true, "find": true, "get": true, "export": true, "comment": true, "reset": true, "reset-counters": true,
		"monitor": true, "import": true}
}}

// menus are what a path begins with.
var menus = lazy.Value[map[string]bool]{Make: func() map[string]bool {
	return map[string]bool{"ip": true, "ipv6": true, "interface": true, "routing": true, "system": true, "ppp": true,
		"tool": true, "queue": true,
		"user": true, "snmp": true, "certificate": true, "caps-man": true, "mpls": true, "port": true, "radius": true,
		"file": true, "log": true,
		"console": true, "disk": true, "iot": true, "container": true, "zerotier": true, "lora": true, "dude": true,
		"app": true, "special-login": true,
		"partitions": true, "metarouter": true, "openflow": true, "task": true, "export": true, "print": true,
		"password": true, "import": true}
}}

// read takes an export apart.
func read(text []byte) ([]*statement, error) {
	if err := readable(text); err != nil {
		return nil, err
	}
	s := &scanner{text: string(text), line: 1}
	r := &reader{}
	for {
		c, err := s.next()
		switch {
		case err != nil:
			return nil, err
		case c == nil && !r.known:
			return nil, failed(0, "no section of RouterOS in it, as /ip route: import what /export prints on the router")
		case c == nil:
			return r.out, nil
		}
		r.add(c)
	}
}

// readable reports texts that are none.
func readable(text []byte) error {
	odd := 0
	for _, c := range text {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b {
			odd++
		}
	}
	switch {
	case len(strings.TrimSpace(string(text))) == 0:
		return failed(0, "the file is empty")
	case slices.Contains(text, 0) && (text[0] == 0xff || text[0] == 0xfe):
		return failed(0, "the file is UTF-16: save it as UTF-8")
	case slices.Contains(text, 0) || odd > len(text)/20:
		return failed(0, "the file is binary, as a .backup is: import what /export prints on the router")
	}
	return nil
}

// reader follows the path from command to command.
type reader struct {
	path  []string
	out   []*statement
	known bool
}

func (r *reader) add(c *command) {
	path, rest := r.walk(c.words)
	if len(rest) == 0 && len(c.args)+len(c.find) == 0 {
		r.path = path
		r.known = r.known || len(path) > 0 && menus.Get()[path[0]]
		return
	}
	s := &statement{Statement: &from.Statement{Line: c.line}, section: strings.Join(path, " "), args: c.args, find: c.find}
	if len(rest) > 0 {
		s.verb, s.words = rest[0], rest[1:]
	}
	r.known = r.known || len(path) > 0 && menus.Get()[path[0]]
	s.Section = "/" + s.section
	if len(path) == 0 || !menus.Get()[path[0]] {
		s.Section, s.section = "/", "" // no path of RouterOS: nothing of it is repeated
	} else if !relevant(s.section) && !plainPath(path) {
		s.Section = "/" + path[0]
	}
	s.Show = s.describe
	r.out = append(r.out, s)
}

// sections are words that paths have; a path of others may be anything.
func plainPath(path []string) bool {
	for _, word := range path[1:] {
		if strings.ContainsFunc(word, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }) &&
			word != "layer7-protocol" && word != "l2tp-client" {
			return false
		}
	}
	return len(path) <= mostWords
}

// mostWords is how many words the longest path of RouterOS has.
const mostWords = 5

// walk splits the words before the first key into a path and what follows it, from the command on.
func (r *reader) walk(words []string) (path, rest []string) {
	path = slices.Clone(r.path)
	for i, w := range words {
		if verbs.Get()[w] {
			return path, words[i:]
		}
		if strings.HasPrefix(w, "/") {
			path = nil
		}
		for part := range strings.SplitSeq(w, "/") {
			switch {
			case part == "..":
				path = path[:max(0, len(path)-1)]
			case verbs.Get()[part]:
				return path, append([]string{part}, words[i+1:]...)
			case part != "":
				path = append(path, part)
			}
		}
	}
	return path, nil
}

// whatSize is how much of a statement the report repeats.
const whatSize = 120

// describe is the statement as it is reported: without secrets.
func (s *statement) describe() (whole, short string) {
	var text, what []string
	if s.verb != "" {
		text = append(text, s.verb)
	}
	if len(s.find) > 0 {
		text = append(text, "[ find "+strings.Join(shown(s, s.find), " ")+" ]")
	}
	for _, w := range s.words {
		if s.section != "" && relevant(s.section) {
			text, what = append(text, from.Short(w, whatSize)), append(what, w)
		}
	}
	args := shown(s, s.args)
	text = append(text, args...)
	for i, a := range s.args {
		if a.key != "comment" {
			what = append(what, args[i])
		}
	}
	short = from.Short(strings.Join(what, " "), whatSize)
	if s.verb != "add" && s.verb != "" {
		short = strings.TrimSpace(s.verb + " " + short)
	}
	return strings.Join(text, " "), short
}

// harmless are keys whose values are never secrets, in whatever section.
var harmless = lazy.Value[map[string]bool]{Make: func() map[string]bool {
	return map[string]bool{"chain": true, "action": true, "interface": true, "disabled": true, "protocol": true,
		"dst-port": true, "src-port": true,
		"list": true, "bridge": true, "vlan-id": true, "default-name": true, "mtu": true}
}}

// shown are arguments as they may be repeated.
func shown(s *statement, args []arg) []string {
	out := make([]string, len(args))
	for i, a := range args {
		key, value := a.key, a.value
		if !relevant(s.section) && strings.ContainsFunc(key, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }) {
			key = "..."
		}
		switch {
		case secret(a.key) || !relevant(s.section) && !harmless.Get()[a.key]:
			value = "..."
		case isBody(a.key) && a.key != "comment":
			value = "(script)"
		}
		out[i] = key + "=" + quoteWord(value)
	}
	return out
}

// secret reports whether a key's value is nobody's business.
func secret(key string) bool {
	for _, part := range []string{"password", "secret", "passphrase", "key", "psk", "community", "token", "pin", "user", "certificate"} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// relevant reports whether a section's values may be repeated: those that routing is made of.
func relevant(section string) bool { return readerOf(section) != nil || told(section) != "" }

func quoteWord(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\r\n\"\\;#") && utf8.ValidString(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
}
