package policy

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
  { name = "mail", check = { a = "}" }, dport = [ 25,
    587 ] },   # on two lines
]
rule = [{ name = "ä" }, { name = 'b', iif.x = 1 }]

[[policy]]   # the telephones
name = "voip"
src = "192.168.10.32/28"   # "all" of them
comment = "line # 3"
dst = [
  "10.0.0.0/8", # inside
  # the second line
  "@offices",
]
uplink = "isp2"

[default]   # everything else
routes = { uplink = "isp1" }
`
	for name, c := range map[string]struct {
		line, col int
		want      string
	}{
		"a section without its name":     {1, 1, `proto = "tcp"  dport = 443`},
		"an inline table":                {9, 3, `{ name = "guests", src = "@guests", uplink = "isp2" }`},
		"one with a table in it":         {10, 3, `{ name = "mail", check = { a = "}" }, dport = [25, 587] }`},
		"one of several on a line":       {13, 9, `{ name = "ä" }`},
		"another one, after a character": {13, 25, `{ name = "b", iif = { x = 1 } }`},
		"comments are left out": {15, 1,
			`src = "192.168.10.32/28"  comment = "line # 3"  dst = ["10.0.0.0/8", "@offices"]  uplink = "isp2"`},
		"a section at the end":           {26, 1, `routes = { uplink = "isp1" }`},
		"a line that the file has not":   {99, 1, ""},
		"a column that the file has not": {1, 999, ""},
		"no line":                        {0, 0, ""},
		"a place that begins no section": {12, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := SectionText([]byte(source), Pos{Line: c.line, Col: c.col}); got != c.want {
				t.Errorf("%d:%d: %q, want %q", c.line, c.col, got, c.want)
			}
		})
	}
}
