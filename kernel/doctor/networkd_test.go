package doctor

import (
	"testing"
	"testing/fstest"

	"pbr/kernel/facts"
)

func TestReadNetworkd(t *testing.T) {
	const rules, routes = "[Network]\nManageForeignRoutingPolicyRules=no\n", "[Network]\nManageForeignRoutes = off\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  facts.Networkd
	}{
		"nothing": {nil, facts.Networkd{RemovesRules: true, RemovesRoutes: true}},
		"the file and a drop-in": {map[string]string{"etc/systemd/networkd.conf": "# x\n" + rules,
			"usr/lib/systemd/networkd.conf.d/10-a.conf": routes},
			facts.Networkd{}},
		"another section": {map[string]string{"etc/systemd/networkd.conf": "[DHCPv4]\nManageForeignRoutes=no\n"},
			facts.Networkd{RemovesRules: true, RemovesRoutes: true}},
		"the last drop-in wins": {map[string]string{"etc/systemd/networkd.conf.d/10-a.conf": rules + routes,
			"run/systemd/networkd.conf.d/20-b.conf": "[Network]\nManageForeignRoutes=yes\n"}, facts.Networkd{RemovesRoutes: true}},
		"one hides the other": {map[string]string{"usr/lib/systemd/networkd.conf.d/10-a.conf": rules,
			"etc/systemd/networkd.conf.d/10-a.conf": routes},
			facts.Networkd{RemovesRules: true}},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for path, text := range c.files {
				root[path] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := ReadNetworkd(root); got != c.want {
				t.Errorf("%s: %+v, want %+v", name, got, c.want)
			}
		})
	}
}
