package compiler

import (
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// Default has a mark where rules could see what policies decided on, and nowhere else; it moves no
// other number.
func TestDefaultsMark(t *testing.T) {
	const uplinks = `
uplink = [{ name = "a", interface = "a0", gateway = "192.0.2.1", nat = "masquerade" },
          { name = "b", interface = "b0", gateway = "198.51.100.1", nat = "masquerade" }]
default = { routes = { uplink = "a" } }
table = [{ name = "t", routes = { uplink = "b" } }, { name = "s", routes = { uplink = "b" }, strict = true }]
balance = { name = "both", members = [{ uplink = "a" }, { uplink = "b" }] }
`
	const (
		steers   = "[[policy]]\nname = \"p\"\nsrc = \"10.0.0.1\"\nuplink = \"b\"\n"
		strictly = "[[policy]]\nname = \"p\"\nsrc = \"10.0.0.1\"\nuplink = \"b\"\nstrict = true\n"
		exempts  = "[[policy]]\nname = \"e\"\nsrc = \"10.0.0.2\"\ndefault = true\n"
		shares   = "[[policy]]\nname = \"s\"\nsrc = \"10.0.0.3\"\nbalance = \"both\"\n"
		drops    = "[[rule]]\nname = \"d\"\nsrc = \"10.0.0.0/8\"\naction = \"drop\"\n"
		only     = "[[rule]]\nname = \"o\"\nsrc = \"10.0.0.0/8\"\ntable = \"t\"\naction = \"lookup-only-in-table\"\n"
		leads    = "[[rule]]\nname = \"l\"\nsrc = \"10.0.0.0/8\"\ntable = \"t\"\n"
		strict   = "[[rule]]\nname = \"s\"\nsrc = \"10.0.0.0/8\"\ntable = \"s\"\n"
	)
	plain := compiledText(t, uplinks+strictly).Numbers
	for _, row := range []struct {
		name, text string
		marked     bool
		answers    bool
	}{
		{"no rule", exempts + shares, false, false},
		{"no policy", drops, false, false},
		{"exempt", exempts + leads, true, false},
		{"balance", shares + leads, true, false},
		{"answers past drop", steers + drops, true, true},
		{"answers past lookup-only", steers + only, true, true},
		{"answers past a strict table", steers + strict, true, true},
		{"answers past a rule that refuses nothing", strictly + leads, false, false},
		{"an uplink that may be unusable", steers + leads, true, false},
		{"rules before main's routes", "pbr.main-first = \"off\"\n" + steers + leads, true, true},
		{"no check by the kernel", "pbr.reverse-path = \"nft\"\n" + strictly + drops, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := uplinks + row.text
			if head, rest, ok := strings.Cut(row.text, "\n"); ok && strings.HasPrefix(head, "pbr.") {
				text = head + "\n" + uplinks + rest
			}
			p := compiledText(t, text)
			marked := false
			for _, n := range p.Numbers {
				if n.Name == plan.DefaultName {
					marked = n.Mark != 0
					continue
				}
				for _, before := range plain {
					if before.Name == n.Name && before != n {
						t.Errorf("%s: %s moved from %v to %v", row.name, n.Name, before, n)
					}
				}
			}
			answers := false
			for _, ch := range p.Ruleset.Chains {
				for _, r := range ch.Rules {
					answers = answers || ch.Name == chainFromUplink && strings.HasPrefix(r.Comment, "answer of a pinned connection")
				}
			}
			if marked != row.marked || answers != row.answers {
				t.Errorf("%s: default has a mark: %v, answers carry it: %v", row.name, marked, answers)
			}
		})
	}
}
