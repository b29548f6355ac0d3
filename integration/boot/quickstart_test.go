package boot

import (
	"strings"

	"pbr/integration/typed"
)

// quickstart types every line of the page, on a fresh machine whose LAN has an address. In the end
// there is nothing of pbr's but the package and the policy.
func (g *guest) quickstart() {
	g.t.Helper()
	g.run("ip link set eth0 up && ip link set eth1 up && ip link set eth2 up && ip address add 192.168.10.1/24 dev eth0")
	g.run("cp /run/share/new.deb /pbr_0.0.2_amd64.deb")
	lines := typed.Commands(g.t, "../../docs/quickstart.md")
	if len(lines) < 15 {
		g.t.Fatalf("the page has %d commands", len(lines))
	}
	for _, command := range lines {
		a := g.try(command)
		if a.Code != 0 && (command != "pbr diff" || a.Code != 2) {
			g.t.Fatalf("%s: exit status %d\n%s", command, a.Code, a.Output)
		}
		if want := typed.Quickstart[command]; !strings.Contains(a.Output, want) {
			g.t.Errorf("%s: no %q in\n%s", command, want, a.Output)
		}
		switch {
		case strings.HasPrefix(command, "pbr explain") && !strings.Contains(a.Output, "uplink isp2"):
			g.t.Errorf("%s: no way through isp2 in\n%s", command, a.Output)
		case command == "pbr confirm":
			g.arrives("after pbr confirm", anybody, "isp1", "192.0.2.2")
		case command == "systemctl enable --now pbr":
			g.run("systemctl is-enabled pbr && systemctl is-active pbr")
		}
	}
	if out := g.run("nft list tables; ip route show table all proto 112; ip rule | grep -v 'lookup " +
		"\\(local\\|main\\|default\\)' || true"); out != "" {
		g.t.Errorf("in the end there is\n%s", out)
	}
}
