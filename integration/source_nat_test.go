package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// othersNAT are source NATs of others at the common priority: a container engine's masquerade, and
// one to an address.
const othersNAT = `table ip engine {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 192.168.10.10 oifname "wan*" snat to 192.0.2.77
		ip saddr 192.168.10.0/24 oifname "wan*" masquerade
	}
}
`

// staticUplinks translate to addresses that the uplinks' interfaces do not have first.
var staticUplinks = strings.NewReplacer("nat = \"masquerade\"\n[[uplink]]", "nat = \"192.0.2.9\"\nnat6 = \"none\"\n[[uplink]]",
	"nat = \"masquerade\"\n[[table]]", "nat = \"none\"\nnat6 = \"masquerade\"\n[[table]]").Replace(twoUplinks)

// Source NAT is pbr's wherever it translates, whoever was there first, and others' where it does
// not, or where they come before it.
func TestSourceNATBesideOthers(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"pbr", "others"} {
		n := lab.Build(lab.New(t), lab.Spec{
			LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
		})
		for _, isp := range n.ISPs {
			isp.ServeInternet()
		}
		n.Router.IP("addr add 192.0.2.9/24 dev wan1", "addr add 192.0.2.77/24 dev wan1")
		s := &scenario{Net: n, t: t, router: newRouter(n.Router)}
		if first == "others" {
			s.router.NFT(othersNAT)
		}
		s.router.apply(staticUplinks)
		s.router.inSync()
		s.readMarks()
		if first == "pbr" {
			s.router.NFT(othersNAT)
		}
		s.check([]flow{
			{name: first + " first: static", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53",
				isp: "isp1", nat: "192.0.2.9"},
			{name: first + " first: nat6 none", from: "lan", network: "udp", src: "2001:db8:10::10",
				dst: "[2001:db8:ffff::9]:53", isp: "isp1", nat: "2001:db8:10::10"},
			{name: first + " first: none, so theirs", from: "lan", network: "udp", src: "192.168.10.11",
				dst: "9.9.9.9:53", isp: "isp2", nat: "198.51.100.2", pin: "isp2"},
			{name: first + " first: nat6 masquerade", from: "lan", network: "udp", src: "2001:db8:10::11",
				dst: "[2001:db8:ffff::9]:53", isp: "isp2", nat: "2001:db8:f2::2", pin: "isp2"},
		})
		// A chain of theirs before ours gets its turn.
		s.router.NFT(strings.Replace(strings.Replace(othersNAT, "engine", "before", 1), "priority srcnat", "priority srcnat - 20", 1))
		s.check([]flow{
			{name: first + " first: theirs before", from: "lan", network: "udp", src: "192.168.10.10",
				dst: "9.9.9.10:53", isp: "isp1", nat: "192.0.2.77"},
			// It ends the nat chains for this connection, but comes behind the one that pins.
			{name: first + " first: theirs before, and pinned", from: "lan", network: "udp", src: "192.168.10.11",
				dst: "9.9.9.10:53", isp: "isp2", nat: "198.51.100.2", pin: "isp2"},
		})
	}
}

// The text forms make what apply makes of nat and nat6.
func TestTextOfNAT6(t *testing.T) {
	t.Parallel()
	textEqualsNetlink(newRouter(bench(lab.New(t)).Router), staticUplinks)
}

// Probes leave with the interface's own address, also where nat is an address that another router
// may have at the moment; others are translated.
func TestProbesAreNotTranslated(t *testing.T) {
	t.Parallel()
	check := "check = { targets = [\"9.9.9.9\", \"2001:db8:ffff::9\"], interval = \"200ms\" }\n"
	policy := strings.Replace(twoUplinks, "nat = \"masquerade\"\n[[uplink]]",
		"nat = \"192.0.2.9\"\nnat6 = \"2001:db8:f1::9\"\n"+check+"[[uplink]]", 1)
	w := newWatched(t, policy, 2)
	isp := w.ISPs["isp1"]
	isp.NFT(`table inet probes {
	chain seen {
		type filter hook prerouting priority -300;
		ip saddr 192.0.2.2 icmp type echo-request counter name own
		ip6 saddr 2001:db8:f1::2 icmpv6 type echo-request counter name own6
		ip saddr 192.0.2.9 icmp type echo-request counter name shared
		ip6 saddr 2001:db8:f1::9 icmpv6 type echo-request counter name shared
	}
	counter own { }
	counter own6 { }
	counter shared { }
}
`)
	count := func(name string) string {
		return packetsPattern.FindString(isp.Run("nft", "list", "counter", "inet", "probes", name))
	}
	w.start()
	lab.WaitFor(t, "probes of both IP versions", func() bool { return count("own") != "packets 0" && count("own6") != "packets 0" })
	w.waitState("isp1", "up")
	if got := count("shared"); got != "packets 0" {
		t.Errorf("translated probes: %s", got)
	}
	s := &scenario{Net: w.Net, t: t, router: w.router}
	s.readMarks()
	w.Router.Run("ip", "addr", "add", "192.0.2.9/24", "dev", "wan1") // as on the active router
	s.check([]flow{{name: "a host's", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53", isp: "isp1", nat: "192.0.2.9"}})
}

// check --live and doctor name a snat that has no effect, and two uplinks with one address;
// without them neither says a word.
func TestLiveFindings(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	r := newRouter(n.Router)
	r.apply(twoUplinks)
	said := func() string {
		res := r.pbr("check", "--live")
		return res.Stderr + r.pbr("doctor").Stdout
	}
	step := steps.Of(t)
	step.Run("without root check --live says what it does not see, and is not content", func(t *testing.T) {
		// t.TempDir makes a directory in one of its own.
		if err := os.Chmod(filepath.Dir(filepath.Dir(r.file)), 0o755); err != nil {
			t.Fatal(err)
		}
		args := []string{"--reuid", "65534", "--clear-groups", "--bounding-set", "-all", pbrPath, "--config", r.file, "check", "--live"}
		res := r.Exec("setpriv", args...)
		strict := r.Exec("setpriv", append(args, "--strict")...)
		const want = "not checked: nftables of others: run as root"
		if res.Code != 0 || !strings.Contains(res.Stderr, want) || strict.Code != 1 || !strings.Contains(strict.Stderr, want) {
			t.Errorf("exit status %d and %d:\n%s", res.Code, strict.Code, strict.Stderr)
		}
		if out := said(); strings.Contains(out, want) {
			t.Errorf("root:\n%s", out)
		}
	})
	step.Run("a chain before pbr's is not a finding", func(t *testing.T) {
		r.NFT(strings.Replace(strings.Replace(othersNAT, "engine", "before", 1), "priority srcnat", "priority srcnat - 20", 1))
		for _, word := range []string{"late-snat", "same-address"} {
			if out := said(); strings.Contains(out, word) {
				t.Errorf("%s for no reason:\n%s", word, out)
			}
		}
	})
	step.Run("one for an uplink's interface, by name or index, is one of that uplink's", func(t *testing.T) {
		for _, matches := range []string{`oifname "wan1" ip saddr 192.168.10.40`, `oif "wan1"`} {
			r.NFT("table ip own { chain post { type nat hook postrouting priority srcnat; " + matches + " snat to 192.0.2.99\n}\n}")
			out := said()
			r.NFT("delete table ip own")
			if !strings.Contains(out, `uplink "isp1": the snat of ip own post`) || strings.Contains(out, `uplink "isp2": the snat`) {
				t.Errorf("%s:\n%s", matches, out)
			}
		}
	})
	step.Run("one after it is, as are two uplinks of one address", func(t *testing.T) {
		r.NFT(othersNAT)
		r.IP("addr add 192.168.100.2/24 dev wan1", "addr add 192.168.100.2/24 dev wan2")
		out := said()
		for _, want := range []string{
			"uplink \"isp1\": the snat of ip engine postrouting (rule ", "[late-snat]", "warn  late-snat", "priority below 90",
			"uplinks \"isp1\" and \"isp2\" have the same address 192.168.100.2: sockets bound to it leave " +
				"through \"isp1\" alone", "[same-address]", "warn  same-address",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		if strings.Contains(out, "snat of ip before") {
			t.Errorf("a chain before pbr's is named:\n%s", out)
		}
	})
}

// A table whose source NAT still has the common priority, as earlier releases made it, is brought
// up to date as any difference is.
func TestSourceNATOfEarlierRelease(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	text := r.Run("nft", "list", "table", "inet", "pbr")
	r.NFT("delete table inet pbr\n" + strings.Replace(text, "postrouting priority srcnat - 10", "postrouting priority srcnat", 1))
	if res := r.pbr("diff"); res.Code != 2 || !strings.Contains(res.Stdout, "source-nat") {
		t.Errorf("pbr diff: exit status %d\n%s", res.Code, res.Stdout)
	}
	r.must("apply")
	r.inSync()
	if text := r.Run("nft", "list", "chain", "inet", "pbr", "source-nat"); !strings.Contains(text, "priority srcnat - 10") {
		t.Errorf("after apply:\n%s", text)
	}
}
