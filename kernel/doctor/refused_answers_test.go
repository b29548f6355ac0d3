package doctor

import (
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/policy"
)

// TestRefusedAnswers: a rule that refuses is reported where the kernel judges answers without their
// marks, by any of the settings, and nowhere else.
func TestRefusedAnswers(t *testing.T) {
	const uplinks = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "masquerade"
[default]
routes = [{ uplink = "isp1" }]
`
	const steered = "[[policy]]\nname = \"phone\"\nsrc = \"192.168.10.10\"\nuplink = \"isp2\"\nstrict = true\n"
	const refusing = "[[rule]]\nname = \"closed\"\nsrc = \"192.168.10.0/24\"\naction = \"drop\"\n"
	const leading = "[[rule]]\nname = \"open\"\nsrc = \"192.168.10.0/24\"\nuplink = \"isp2\"\n"
	loose := map[string]string{confPath("wan2", "rp_filter"): "2", confPath("wan2", "src_valid_mark"): "0"}
	for name, c := range map[string]struct {
		policy  string
		sysctls map[string]string
		want    string
	}{
		"loose":                {uplinks + steered + refusing, loose, "wan2"},
		"strict":               {uplinks + steered + refusing, map[string]string{confPath("wan1", "rp_filter"): "1"}, "wan1"},
		"of all":               {uplinks + steered + refusing, map[string]string{pathAllRPFilter: "2"}, "wan1, wan2"},
		"mark counts":          {uplinks + steered + refusing, map[string]string{pathAllRPFilter: "2", pathAllValidMark: "1"}, ""},
		"nothing is judged":    {uplinks + steered + refusing, nil, ""},
		"no rule refuses":      {uplinks + steered + leading, loose, ""},
		"nothing is steered":   {uplinks + refusing, loose, ""},
		"pbr sets it":          {"[pbr]\nsysctl = true\n" + uplinks + steered + refusing, loose, ""},
		"the ruleset judges":   {"[pbr]\nreverse-path = \"nft\"\n" + uplinks + steered + refusing, loose, ""},
		"rules come first":     {"[pbr]\nmain-first = \"off\"\n" + uplinks + steered + refusing, loose, "wan2"},
		"first, but they lead": {"[pbr]\nmain-first = \"off\"\n" + uplinks + steered + leading, loose, ""},
	} {
		t.Run(name, func(t *testing.T) {
			doc, problems := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(c.policy)}}, "pbr.toml", "pbr.toml")
			if problems.HasErrors() {
				t.Fatalf("%s: %v", name, problems)
			}
			ds := RefusedAnswers(doc, c.sysctls)
			if len(ds) == 0 && c.want == "" {
				return
			}
			if len(ds) != 1 || !strings.Contains(ds[0].Message, "arrive on "+c.want+", where") ||
				!strings.Contains(ds[0].Hint, "src_valid_mark=1") {
				t.Errorf("%s: %v", name, ds)
			}
		})
	}
}
