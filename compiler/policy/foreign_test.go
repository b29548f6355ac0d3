package policy

import (
	"strings"
	"testing"
	"testing/fstest"
)

// foreignBase has what policies, tables and balances of TestForeignWords name.
const foreignBase = `
[[uplink]]
name = "NAME"
interface = "eth0"
gateway = "192.0.2.1"
%uplink
[[uplink]]
name = "OTHER"
interface = "eth1"
gateway = "198.51.100.1"
%top
`

// TestForeignWords: who writes what he knows from RouterOS, mwan3 or VyOS is told what to write
// here, and that is accepted.
func TestForeignWords(t *testing.T) {
	const policy = "[[policy]]\nname = \"p\"\nsrc = \"10.0.0.0/8\"\n"
	for _, c := range []struct {
		name string
		// uplink and top are what somebody wrote, in the first uplink and behind the uplinks.
		uplink, top string
		// hint is what is said, snippet the part of it that is to be written: behind around, or,
		// uplinkInside, in the first uplink.
		hint, snippet, around string
		uplinkInside          bool
	}{
		{name: "RouterOS: mark routing", top: policy + `new-routing-mark = "x"`, snippet: `uplink = "NAME"`, around: policy},
		{name: "RouterOS: gateway of a policy", top: policy + `gateway = "192.0.2.1"`, snippet: `uplink = "NAME"`, around: policy},
		{name: "RouterOS: an action", top: policy + `action = "mark-routing"`, snippet: `uplink = "NAME"`, around: policy},
		{name: "RouterOS: accept", top: policy + `action = "accept"`, snippet: "default = true", around: policy},
		{name: "RouterOS: PCC", top: policy + `per-connection-classifier = "both-addresses:2/0"`, hint: "write a [[balance]] with members"},
		{name: "RouterOS: a connection's state", top: policy + `connection-state = "new"`, hint: "not needed: a policy sees the first packet"},
		{name: "RouterOS: the router's own", top: policy + "chain = \"output\"\n", snippet: `from = "local"`, around: policy + "default = true\n"},
		{name: "RouterOS: an interface list", top: policy + `in-interface-list = "LAN"`, snippet: `from = ["eth1", "eth2"]`,
			around: policy + "default = true\n"},
		{name: "RouterOS: an address list", top: "[[address-list]]\nlist = \"x\"", snippet: `NAME = ["198.51.100.0/24"]`, around: "[lists]\n"},
		{name: "RouterOS: a route", top: "[[route]]\ngateway = \"192.0.2.1\"", snippet: `routes = [{ uplink = "NAME", distance = 1 }]`,
			around: "[[table]]\nname = \"t\"\n"},
		{name: "RouterOS: fasttrack", top: "[pbr]\nfasttrack = true", snippet: `offload = "unmarked"`, around: "[pbr]\n"},
		{name: "RouterOS: check-gateway", uplink: `check-gateway = "ping"`, snippet: `check = "ping"`, uplinkInside: true},
		{name: "RouterOS: scope", uplink: `target-scope = 11`, snippet: `check = { method = "ping", targets = ["192.0.2.9"] }`, uplinkInside: true},
		{name: "RouterOS: distance of an uplink", uplink: `distance = 2`, snippet: `routes = [{ uplink = "NAME", distance = 2 }]`,
			around: "[[table]]\nname = \"t\"\n"},
		{name: "mwan3: weight of an interface", uplink: `weight = 2`, snippet: `members = [{ uplink = "NAME", weight = 2 }]`,
			around: "[[balance]]\nname = \"b\"\n"},
		{name: "mwan3: track_ip", uplink: `track_ip = ["192.0.2.9"]`, uplinkInside: true,
			snippet: `check = { method = "ping", targets = ["192.0.2.9"], interval = "5s", up-after = 3, down-after = 3 }`},
		{name: "mwan3: a member", top: "[[member]]\ninterface = \"wan\"", snippet: `members = [{ uplink = "NAME", weight = 2 }]`,
			around: "[[balance]]\nname = \"b\"\n"},
		{name: "VyOS: load-balancing", top: "[load-balancing]\nwan = 1", hint: "write a [[balance]] with members"},
		{name: "VyOS: interface-health", uplink: "interface-health = 1", snippet: `check = "ping"`, uplinkInside: true},
		{name: "several uplinks", top: policy + `uplink = ["NAME", "OTHER"]`, around: "[[table]]\nname = \"t\"\n",
			snippet: `routes = [{ uplink = "NAME", distance = 1 }, { uplink = "OTHER", distance = 2 }]`},
		{name: "ports in one text", top: policy + "default = true\nproto = \"tcp\"\ndport = \"80,https\"", hint: `write [80, "https"]`},
		{name: "protocols in one text", top: policy + "default = true\nproto = \"tcp, udp\"", hint: `write ["tcp", "udp"]`},
		{name: "a host's name in a policy", top: policy + "default = true\ndst = \"host.example.com\"",
			snippet: `NAME = { domains = ["host.example.com"] }`, around: "[lists]\n"},
		{name: "a host's name in a list", top: "[lists]\nl = [\"host.example.com\"]", snippet: `{ domains = ["host.example.com"] }`,
			around: "[lists]\nl = "},
		{name: "a pasted export", top: "/ip firewall mangle\nadd action=accept chain=prerouting", hint: "pbr import routeros FILE"},
		{name: "a line of it", top: "add action=accept chain=prerouting", hint: "pbr import routeros FILE"},
		{name: "pasted UCI", top: "config interface 'wan'\n\toption enabled '1'", hint: "pbr import mwan3 DIR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := strings.NewReplacer("%uplink", c.uplink, "%top", c.top).Replace(foreignBase)
			_, ds := Parse(fstest.MapFS{"p.toml": {Data: []byte(wrong)}}, "p.toml", "p.toml")
			var hints []string
			for _, d := range ds {
				hints = append(hints, d.Hint)
			}
			said := strings.Join(hints, "\n")
			if !strings.Contains(said, c.hint) || !strings.Contains(said, c.snippet) {
				t.Fatalf("the hints are %q, which lack %q or %q", said, c.hint, c.snippet)
			}
			if c.snippet == "" {
				return
			}
			in := strings.NewReplacer("%uplink", "", "%top", c.around+c.snippet)
			if c.uplinkInside {
				in = strings.NewReplacer("%uplink", c.snippet, "%top", "")
			}
			mustParse(t, in.Replace(foreignBase), Options{})
		})
	}
}
