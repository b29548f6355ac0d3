package explain

import "testing"

func TestSectionText(t *testing.T) {
	const source = `[[policy]]
name = "web"   # the browser's
proto = "tcp"
dport = 443

[[policy]]
name = "next"
policy = [
  { name = "guests", src = "@guests", uplink = "isp2" },   # {no} braces
  { name = "mail", check = { a = "}" }, dport = 25 },
]
rule = [{ name = "a" }, { name = "b" }]
`
	for name, c := range map[string]struct {
		line int
		want string
	}{
		"a section without its name":    {1, `proto = "tcp"  dport = 443`},
		"an inline table":               {9, `{ name = "guests", src = "@guests", uplink = "isp2" }`},
		"one with a table in it":        {10, `{ name = "mail", check = { a = "}" }, dport = 25 }`},
		"which of several is not known": {12, ""},
		"a line that the file has not":  {99, ""},
		"no line":                       {0, ""},
		"a line that begins no section": {11, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sectionText([]byte(source), c.line); got != c.want {
				t.Errorf("line %d: %q, want %q", c.line, got, c.want)
			}
		})
	}
}
