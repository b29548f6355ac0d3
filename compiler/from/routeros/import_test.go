package routeros

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/compiler"
	"pbr/compiler/from"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// patience is what a maze may take on a busy machine.
const patience = 30 * time.Second

// head is an export with two providers and a LAN, to put rules behind.
const head = `/ip address
add address=192.0.2.2/24 interface=wan1
add address=198.51.100.2/24 interface=wan2
add address=192.168.10.1/24 interface=lan
/ip route
add gateway=192.0.2.1
add gateway=192.0.2.1 routing-mark=r1
add gateway=198.51.100.1 routing-mark=r2
/ip firewall mangle
`

// Chains that lead to each other, and ways that double with each chain, end, and are reported.
func TestMazes(t *testing.T) {
	var doubling strings.Builder
	doubling.WriteString(head + "add action=jump chain=prerouting jump-target=c0\n")
	for i := range 40 {
		for _, host := range []string{"10.0.0.0/8", "172.16.0.0/12"} {
			fmt.Fprintf(&doubling, "add action=jump chain=c%d jump-target=c%d src-address=%s\n", i, i+1, host)
		}
	}
	doubling.WriteString("add action=mark-routing chain=c40 new-routing-mark=r2 passthrough=no protocol=gre\n")
	loop := head + "add action=jump chain=prerouting jump-target=a\nadd action=jump chain=a jump-target=b\n" +
		"add action=jump chain=b jump-target=a\n" +
		"add action=mark-routing chain=prerouting new-routing-mark=r2 passthrough=no src-address=192.168.10.9\n"
	for name, text := range map[string]string{"doubling": doubling.String(), "loop": loop} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r := importText(t, text, nil)
			_, warnings := parse(t, r.Policy)
			report := r.Report("export.rsc", warnings)
			if !strings.Contains(report, "chains") || !strings.Contains(report, "not carried over: /ip firewall mangle action=jump") {
				t.Errorf("%s: the report does not tell of the jumps:\n%s", name, report)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("%s took %v", name, took)
			}
		})
	}
	if r := importText(t, loop, nil); !strings.Contains(r.Policy, "192.168.10.9") {
		t.Errorf("a rule beside the loop is lost:\n%s", r.Policy)
	}
}

// What is not an export is refused with its place, and says nothing of what it held.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
		want       string
	}{
		{"empty", " \n\n", 0, "empty"},
		{"binary", "\x88\xac\xa1\xb1\x00\x00\x01", 0, "binary"},
		{"UTF-16", "\xff\xfe/\x00i\x00p\x00", 0, "UTF-16"},
		{"no section", "server\n listen 80;\n\n", 0, "no section"},
		{"a policy", "[[uplink]]\nname = \"isp1\"\n", 0, ""},
		{"a string without end", "/ip address\nadd address=192.0.2.2/24 comment=\"never\n", 2, "never ends"},
		{"a local variable", "/ip address\n:local wan ether1\nadd address=192.0.2.2/24 interface=$wan\n", 2, "script"},
		{"a variable", "/ip address\nadd address=192.0.2.2/24 interface=$wan\n", 2, "variable"},
		{"a variable in a string", "/ip address\nadd address=192.0.2.2/24 interface=\"$wan-1\"\n", 2, "variable"},
		{"a loop", ":foreach i in=[/ip route find] do={ /ip route remove $i }\n", 1, "script"},
		{"a block of commands", "/ip route\nadd gateway=192.0.2.1\ndo { add gateway=192.0.2.3 }\n", 3, "script"},
		{"a block", "/ip route\nadd gateway=192.0.2.1\n/system\nscript do={ :put x }\n", 4, "script"},
		{"a command as value", "/ip route\nadd gateway=[/ip dhcp-client get 0 gateway]\n", 2, "script"},
		{"a bracket without end", "/interface ethernet\nset [ find default-name=ether1 name=x\n", 2, "never closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Import([]byte(c.text), from.Options{File: "export.rsc"})
			var bad *Error
			if !errors.As(err, &bad) || bad.Line != c.line || !strings.Contains(bad.Message, c.want) {
				t.Errorf("%s: %v, %+v", c.name, err, bad)
			}
		})
	}
}

// Scripts inside of strings are no scripts.
func TestScriptsInStrings(t *testing.T) {
	text := head + `/system script
add name=failover source=":local gw [/ip route get 0 gateway]\r\
    \n:foreach i in=[find] do={ :put \$i }"
add name=braces source={ :local x 1; /ip route set 0 distance=$x }
/ppp profile
add name=x on-up=":log info \$user"
/ip route
add comment="costs \$5" distance=2 gateway=198.51.100.1
`
	r := importText(t, text, nil)
	if !strings.Contains(r.Policy, "# export.rsc:18 costs $5") && !strings.Contains(r.Policy, "costs $5") {
		t.Errorf("the comment is lost:\n%s", r.Policy)
	}
	if report := r.Report("export.rsc", nil); strings.Contains(report, "foreach") ||
		!strings.Contains(report, "export.rsc:11: not carried over: /system script") {
		t.Errorf("the report:\n%s", report)
	}
}

// Nothing secret is repeated, whatever the section.
func TestSecrets(t *testing.T) {
	text := head + `/interface pppoe-client
add add-default-route=yes interface=ether9 name=pppoe-out1 password=hunter-1 user=hunter-2
/interface wireguard
add name=wg1 private-key="hunter-3="
/interface wireguard peers
add interface=wg1 preshared-key="hunter-4=" public-key="hunter-5="
/ppp secret
add name=hunter-6 password=hunter-7
/snmp community
add name=hunter-8
/ip ipsec identity
add peer=x secret=hunter-9
/interface wifi security
add name=home passphrase=hunter-10
/system script
add name=x source="/tool e-mail send password=hunter-11"
/ip hotspot user
add name=y password=hunter-12
/certificate
import passphrase=hunter-13
nonsense hunter-14 hunter-15=hunter-16
`
	r := importText(t, text, nil)
	all := r.Policy + r.Report("export.rsc", nil)
	for _, s := range r.Statements {
		text, what := s.Show()
		all += text + s.Note() + what
	}
	if at := strings.Index(all, "hunter"); at >= 0 {
		t.Errorf("a secret: %s", all[max(0, at-80):min(len(all), at+40)])
	}
}

// Names and comments of any kind neither break the policy nor reach the terminal.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{`a\"b`, `x\r\n[[policy]]\r\nname`, `\1B[31mred`, `]] = \"\"\"`,
		`name with blanks and more than fifteen`, `local`, `lo`, `default`, `main`, `..`, `a/b`,
		`\C8\AB`, "\u202eevil", `*`, `!x`, `@x`, `'`, `#`} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf(`/ip address
add address=192.0.2.2/24 comment="%[1]s" interface="%[1]s"
add address=198.51.100.2/24 interface="%[1]s2"
/ip firewall address-list
add address=10.0.0.1 comment="%[1]s" list="%[1]s"
/ip route
add comment="%[1]s" gateway=192.0.2.1
add gateway=198.51.100.1 routing-mark="%[1]s"
/ip firewall mangle
add action=mark-routing chain=prerouting comment="%[1]s" new-routing-mark="%[1]s" passthrough=no src-address-list="%[1]s"
`, name)
			r := importText(t, text, nil)
			doc, warnings := parse(t, r.Policy)
			want := 1
			if name == "main" || name == "!x" { // the main table, and no list x
				want = 0
			}
			if name == "*" { // a reference to something deleted
				return
			}
			if len(doc.Uplinks) == 0 || len(doc.Policies) < want {
				t.Errorf("%q: %d uplinks, %d policies\n%s", name, len(doc.Uplinks), len(doc.Policies), r.Policy)
			}
			for line := range strings.SplitSeq(r.Policy+r.Report("export.rsc", warnings), "\n") {
				if from.Printable(line) != line {
					t.Errorf("%q: unsafe for a terminal: %q", name, line)
				}
			}
		})
	}
}

func TestRename(t *testing.T) {
	text := "/interface ethernet\nset [ find default-name=ether5 ] name=uplink-a\n" + head +
		"add action=mark-routing chain=prerouting in-interface=lan new-routing-mark=r2 passthrough=no\n" +
		"/ip address\nadd address=203.0.113.2/24 interface=uplink-a\n/ip route\nadd distance=3 gateway=203.0.113.1\n"
	r := importText(t, text, map[string]string{"wan1": "eth0", "lan": "br-lan", "ether5": "eth5"})
	t.Run("ports and interfaces get the names that are given", func(t *testing.T) {
		for _, want := range []string{`interface = "eth0"`, `interface = "wan2"`, `from = "br-lan"`, `interface = "eth5"`} {
			if !strings.Contains(r.Policy, want) {
				t.Errorf("no %s in\n%s", want, r.Policy)
			}
		}
	})
	t.Run("the report names none that keeps its name", func(t *testing.T) {
		if report := r.Report("x", nil); strings.Contains(report, "keep their names") {
			t.Errorf("the report:\n%s", report)
		}
	})
}

// Exports stand in braces, in code pages, wrapped anywhere, and below one another.
func TestShapes(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"braces": {"{\n/ip address\nadd address=192.0.2.2/24 interface=wan1\n}\n{ /ip route\nadd " +
			"gateway=192.0.2.1 }\n", `interface = "wan1"`},
		"code page": {head + "/ip route\nadd comment=\"L\\C4n\" distance=2 gateway=198.51.100.1\n", "# export.rsc:11 LÄn"},
		"latin1":    {head + "/ip route\nadd comment=\"L\xc4n\" distance=2 gateway=198.51.100.1\n", "# export.rsc:11 LÄn"},
		"UTF-8":     {head + "/ip route\nadd comment=\"Län\" distance=2 gateway=198.51.100.1\n", "# export.rsc:11 Län"},
		"wrapped in a word": {head +
			"add action=mark-rou\\\n    ting chain=prerouting new-routing-mark=r2 passthrough=no " +
			"src-address=10.0.\\\r\n    0.1\n", `src = "10.0.0.1"`},
		"no blank before": {head +
			"add action=mark-routing chain=prerouting\\\nnew-routing-mark=r2 passthrough=no src-address=10.0.0.1\n", `src = "10.0.0.1"`},
		"relative path": {"/ip\naddress add address=192.0.2.2/24 interface=wan1\nroute\nadd gateway=192.0.2.1\n",
			"gateway = \"192.0.2.1\""},
		"back to the menu": {head +
			"/ip route print\nadd action=mark-routing chain=prerouting new-routing-mark=r2 passthrough=no " +
			"src-address=10.0.0.1\n", `src = "10.0.0.1"`},
		"braces of a path": {"/ip address {\nadd address=192.0.2.2/24 interface=wan1\n}\n/ip/route{ add " +
			"gateway=192.0.2.1; print }\n", `gateway = "192.0.2.1"`},
		"semicolons": {"/ip address add address=192.0.2.2/24 interface=wan1; /ip route add gateway=192.0.2.1",
			`gateway = "192.0.2.1"`},
	} {
		t.Run(name, func(t *testing.T) {
			if r := importText(t, c.text, nil); !strings.Contains(r.Policy, c.want) {
				t.Errorf("%s: no %s in\n%s%s", name, c.want, r.Policy, r.Report("export.rsc", nil))
			}
		})
	}
}

// An interface that is an uplink and has clients is reported: nothing that arrives on an uplink is
// classified.
func TestUplinkWithClients(t *testing.T) {
	text := head + "add action=mark-routing chain=prerouting in-interface=wan1 new-routing-mark=r2 " +
		"passthrough=no src-address=192.0.2.50\n" +
		"add action=mark-connection chain=prerouting in-interface=wan2 new-connection-mark=in2\n" +
		"add action=mark-routing chain=output connection-mark=in2 new-routing-mark=r2\n"
	r := importText(t, text, nil)
	report := r.Report("export.rsc", nil)
	if !strings.Contains(report, "export.rsc:10: not carried over") || strings.Contains(report, "export.rsc:11:") ||
		strings.Contains(report, "export.rsc:12:") {
		t.Errorf("the report:\n%s", report)
	}
}

// A router that forwards nothing does not begin to.
func TestForwardingOff(t *testing.T) {
	const off = "/ip settings\nset ip-forward=no\n"
	for name, c := range map[string]struct {
		text     string
		forwards bool
	}{"without a word": {head, true}, "switched off": {off + head, false}} {
		t.Run(name, func(t *testing.T) {
			r := importText(t, c.text, nil)
			doc, _ := parse(t, r.Policy)
			said := strings.Contains(r.Report("export.rsc", nil), "added: [pbr] sysctl = true")
			if doc.Settings.Sysctl != c.forwards || said != c.forwards {
				t.Errorf("sysctl %v, said %v:\n%s", doc.Settings.Sysctl, said, r.Report("export.rsc", nil))
			}
		})
	}
}

// A table that only closes continues doing so.
func TestClosedTable(t *testing.T) {
	marked := head + "add action=mark-routing chain=prerouting new-routing-mark=closed passthrough=no " +
		"src-address=192.168.10.5\n/routing table\nadd fib name=closed\n"
	for name, text := range map[string]string{
		"blackhole":             marked + "/ip route\nadd blackhole dst-address=0.0.0.0/0 routing-table=closed\n",
		"kill switch, no route": marked + "/routing rule\nadd action=lookup-only-in-table routing-mark=closed table=closed\n",
		"kill switch, disabled route": marked +
			"/ip route\nadd disabled=yes gateway=198.51.100.1 routing-table=closed\n/routing rule\n" +
			"add action=lookup-only-in-table routing-mark=closed table=closed\n",
		"rule, no route": head +
			"/routing table\nadd fib name=closed\n/routing rule\nadd action=lookup-only-in-table src-address=192.168.10.5 table=closed\n",
		"rule, disabled route": head +
			"/ip route\nadd disabled=yes gateway=198.51.100.1 routing-table=closed\n/routing rule\n" +
			"add action=lookup-only-in-table src-address=192.168.10.5/32 table=closed\n",
	} {
		t.Run(name, func(t *testing.T) {
			want := walk.Unreachable
			if name == "blackhole" {
				want = walk.Discarded
			}
			closesFor5(t, text, want)
		})
	}
}

// closesFor5 checks that an imported policy lets 192.168.10.5 nowhere, and others out.
func closesFor5(t *testing.T, text string, closed walk.Fate) {
	t.Helper()
	r := importText(t, text, nil)
	doc, _ := parse(t, r.Policy)
	p, ds := compiler.Compile(doc, plan.HostFacts{}, nil)
	if p == nil {
		t.Fatal(ds)
	}
	router, err := walk.NewRouter(p, &walk.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	for src, want := range map[string]walk.Fate{"192.168.10.5": closed, "192.168.10.6": walk.Forwarded} {
		ways := router.First(&walk.Packet{IIF: "lan", Src: netip.MustParseAddr(src),
			Dst: netip.MustParseAddr("9.9.9.9"), Proto: 6, SPort: 40000, DPort: 443})
		if len(ways) != 1 || ways[0].Fate != want {
			t.Errorf("%s: %+v\n%s", src, ways, r.Policy)
		}
	}
}

// A gateway among clients does not make their interface an uplink.
func TestGatewayAmongClients(t *testing.T) {
	text := head + "add action=mark-routing chain=prerouting new-routing-mark=r2 passthrough=no src-address=192.168.10.7\n" +
		"/ip dhcp-server\nadd interface=lan name=d\n/ip route\nadd gateway=192.168.10.9 routing-mark=proxy\n"
	r := importText(t, text, nil)
	report := r.Report("export.rsc", nil)
	if strings.Contains(r.Policy, `interface = "lan"`) ||
		!strings.Contains(report, "among the clients of interface lan") || !strings.Contains(r.Policy, `src = "192.168.10.7"`) {
		t.Errorf("%s\n%s", r.Policy, report)
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(head + "add action=mark-routing chain=prerouting new-routing-mark=r2 src-address=!10.0.0.0/8 " +
		"per-connection-classifier=src-address:2/0\n"))
	f.Add([]byte(head + "add action=jump chain=prerouting jump-target=a\n" +
		"add action=mark-connection chain=a new-connection-mark=c connection-mark=!no-mark\nadd action=return chain=a\n"))
	f.Add([]byte("/ipv6 route add gateway=fe80::1%wan1 routing-table=x\n/routing rule\n" +
		"add action=lookup-only-in-table routing-mark=x table=x\n"))
	f.Add([]byte(head + "add action=mark-routing chain=output comment=\"\\\"]\\1B\" new-routing-mark=r2 " +
		"protocol=tcp port=1-65535,!5 time=8h-17h nth=2,1"))
	f.Add([]byte("/interface list member\nadd interface=x list=y\n/ip firewall nat\n" +
		"add action=src-nat chain=srcnat out-interface-list=!y to-addresses=192.0.2.1-192.0.2.9\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Import(text, from.Options{File: "export.rsc"})
		if err != nil {
			return
		}
		_, warnings := parse(t, r.Policy)
		r.Report("export.rsc", warnings)
	})
}

// BFD sessions stay what they are; pings of a recursive route's target take precedence, as an
// uplink has one check.
func TestBFD(t *testing.T) {
	session := head + "/ip route\nadd check-gateway=bfd distance=2 gateway=198.51.100.1\n"
	probe := "add dst-address=8.8.8.8/32 gateway=198.51.100.1 scope=10\nadd check-gateway=ping distance=3 gateway=8.8.8.8 target-scope=11\n"
	for name, c := range map[string]struct{ text, want string }{
		"alone":       {session, `check = "bfd"`},
		"and a probe": {session + probe, `check = { method = "ping", targets = "8.8.8.8" }`},
	} {
		t.Run(name, func(t *testing.T) {
			r := importText(t, c.text, nil)
			parse(t, r.Policy)
			if report := r.Report("export.rsc", nil); !strings.Contains(r.Policy, c.want) ||
				strings.Contains(report, "BFD") != (name != "alone") {
				t.Errorf("%s: no %s in\n%s%s", name, c.want, r.Policy, report)
			}
		})
	}
}
