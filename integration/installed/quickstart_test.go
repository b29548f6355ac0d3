package installed

import (
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/typed"
)

// Every line of the quick start, in a Debian 13 with two lines and nothing configured but the LAN.
// Each command has to succeed, and some have to show what the page says.
func TestQuickstart(t *testing.T) {
	needPackages(t)
	isps := []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}
	isps[0].Iface, isps[1].Iface = "eth1", "eth2"
	n := lab.Build(lab.New(t), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "eth0", 10, 10, 130)}, ISPs: isps})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
		isp.IP("addr add 1.1.1.1/32 dev lo", "addr add 9.9.9.9/32 dev lo")
	}
	n.Router.IP("addr flush dev eth1", "addr flush dev eth2")
	r := newRoot(t, n.Router, "trixie")
	r.putPackage("new.deb", "pbr_1_amd64.deb")
	explained := []string{"uplink isp2", "uplink isp2"}
	lines := typed.Commands(t, "../../docs/quickstart.md")
	if len(lines) < 15 {
		t.Fatalf("the page has %d commands", len(lines))
	}
	for _, command := range lines {
		res := r.try(command)
		out := res.Stdout + res.Stderr
		if res.Code != 0 && !(command == "pbr diff" && res.Code == 2) {
			t.Fatalf("%s: exit status %d\n%s", command, res.Code, out)
		}
		if want := typed.Quickstart[command]; !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", command, want, out)
		}
		if strings.HasPrefix(command, "pbr explain") {
			if !strings.Contains(out, explained[0]) {
				t.Errorf("%s: no %q in\n%s", command, explained[0], out)
			}
			explained = explained[1:]
		}
		if command == "pbr confirm" {
			dial(t, n.LANs["lan"]).Close()
		}
	}
	if out := r.run("nft list tables; ip route show table all proto 112"); out != "" {
		t.Errorf("in the end there is\n%s", out)
	}
}
