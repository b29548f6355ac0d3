package boot

import (
	"fmt"
	"strings"
)

// namesPolicy has dnsmasq fill a list.
const namesPolicy = "[lists]\nstreams = { domains = [%q] }\n[[policy]]\nname = \"streams\"\ndst = \"@streams\"\n" +
	"uplink = \"isp2\"\nstrict = true\n"

// dnsmasq: what the units write for dnsmasq reaches it by the path unit, from the watch and from an
// apply at boot; and then it fills the list.
func (g *guest) dnsmasq() {
	g.t.Helper()
	g.put("/etc/dnsmasq.d/upstream.conf", "no-resolv\nserver=192.0.2.1\nlog-queries\n")
	g.run("systemctl enable --now dnsmasq pbr-dnsmasq.path 2>&1; cp /etc/pbr/pbr.toml /root/right.toml")
	restarted := func(how, domain, command string) {
		g.t.Helper()
		pid := g.show("dnsmasq", "MainPID")
		g.put("/root/more", fmt.Sprintf(namesPolicy, domain))
		g.run(`sed 's#^\[pbr\]#&\ndnsmasq = "/etc/dnsmasq.d/pbr.conf"#' /root/right.toml >/etc/pbr/pbr.toml; ` +
			`cat /root/more >>/etc/pbr/pbr.toml`)
		g.run(command)
		g.wait("dnsmasq to be restarted "+how,
			fmt.Sprintf(`grep -q %s /etc/dnsmasq.d/pbr.conf && [ "$(systemctl is-active pbr-dnsmasq dnsmasq | `+
				`xargs)" = "inactive active" ] && [ "$(systemctl show -P MainPID dnsmasq)" != %s ]`, domain, pid))
	}
	restarted("by a reload of the watch", "first.example", "systemctl reload pbr")
	restarted("by an apply beside the watch", "second.example", "pbr apply")
	// More changes in a row than dnsmasq may be started in ten seconds.
	restarted("after many changes", "last.example", `for i in 1 2 3 4 5 6 7 8 9; do
		sed -i "s/domains = .*/domains = [\"n$i.example\"] }/" /etc/pbr/pbr.toml && pbr apply || exit
		sleep 0.5
	done
	sed -i 's/domains = .*/domains = ["last.example"] }/' /etc/pbr/pbr.toml && pbr apply`)
	g.run("systemctl is-active pbr-dnsmasq.path && systemctl stop pbr")
	restarted("by pbr-apply", "streams.example", "systemctl restart pbr-apply")
	g.run("echo nameserver 127.0.0.1 >/etc/resolv.conf")
	g.wait("the answer of dnsmasq", "getent ahostsv4 www.streams.example")
	if out := g.run("nft list set inet pbr list-streams-4"); !strings.Contains(out, streamsAddress) {
		g.t.Errorf("dnsmasq put nothing into the list:\n%s", out)
	}
	g.run("cp /root/right.toml /etc/pbr/pbr.toml; systemctl disable --now dnsmasq pbr-dnsmasq.path 2>&1; " +
		"systemctl stop pbr-apply; systemctl start pbr")
	g.watched()
	g.routed("after dnsmasq")
	if failed := g.run("systemctl --failed --plain --no-legend"); failed != "" {
		g.t.Errorf("after dnsmasq: %s", failed)
	}
}
