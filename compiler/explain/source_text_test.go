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

[[policy]]   # the telephones
name = "voip"
src = "192.168.10.32/28"   # "all" of them
comment = "line # 3"
# the second line
uplink = "isp2"

[default]   # everything else
routes = { uplink = "isp1" }
`
	for name, c := range map[string]struct {
		line int
		want string
	}{
		"a section without its name":    {1, `proto = "tcp"  dport = 443`},
		"an inline table":               {9, `{ name = "guests", src = "@guests", uplink = "isp2" }`},
		"one with a table in it":        {10, `{ name = "mail", check = { a = "}" }, dport = 25 }`},
		"which of several is not known": {12, ""},
		"comments are left out":         {14, `src = "192.168.10.32/28"  comment = "line # 3"  uplink = "isp2"`},
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
