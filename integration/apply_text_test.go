package integration

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/reference"
)

// fixtureSpecs are networks with everything that the policies of fixtures/networks name.
var fixtureSpecs = map[string]func() lab.Spec{
	"1-handlings":       threeISPs,
	"2-dual-isp":        threeISPs,
	"3-stateless-rules": threeISPs,
	"4-vpn":             vpnSpec,
	"5-ecmp":            threeISPs,
	"6-dual-stack":      threeISPs,
	"7-pcc":             threeISPs,

	"8-persistent-sessions": threeISPs,
}

func threeISPs() lab.Spec {
	return lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10), lab.LAN("guest", "br-guest", 20, 10)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), lab.ISP(3)},
	}
}

// The text that compile prints, loaded by nft and ip, gives the same kernel state as apply gives by
// netlink; so does the script.
func TestTextEqualsNetlink(t *testing.T) {
	t.Parallel()
	for name, spec := range fixtureSpecs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy, err := os.ReadFile(filepath.Join(networksDir, name, "policy.toml"))
			if err != nil {
				t.Fatal(err)
			}
			textEqualsNetlink(newRouter(lab.Build(lab.New(t), spec()).Router), string(policy))
		})
	}
}

// The same for random policies.
func TestRandomTextEqualsNetlink(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	r := newRouter(bench(lab.New(t)).Router)
	g := reference.Generator{Rand: rand.New(rand.NewPCG(seed, 100)), World: emptyWorld()}
	for range 5 {
		textEqualsNetlink(r, r.printablePolicy(&g).TOML())
		if t.Failed() {
			t.FailNow()
		}
	}
}

// textEqualsNetlink uses one router four times: the addresses of its interfaces stay the same.
func textEqualsNetlink(r *router, policy string) {
	r.T().Helper()
	clean := r.ours()
	r.apply(policy)
	byNetlink := r.ours()
	r.inSync()
	r.must("flush")
	if d := diffLines(clean, r.ours()); d != "" {
		r.T().Fatalf("flush leaves something:\n%s\nthe policy:\n%s", d, policy)
	}
	byText := func(how string, load func()) {
		r.T().Helper()
		load()
		if d := diffLines(byNetlink, r.ours()); d != "" {
			r.T().Errorf("%s: - by apply, + by text:\n%s\nthe policy:\n%s", how, d, policy)
		}
		// What the text made is what apply would make: nothing differs, in form either.
		if res := r.pbr("diff"); res.Code != 0 {
			r.T().Errorf("%s: pbr diff: exit status %d\n%s%s", how, res.Code, res.Stdout, res.Stderr)
		}
		r.must("flush")
	}
	byText("nft and ip", func() {
		nft := r.must("compile", "--dry-run", "--live", "--format", "nft")
		r.NFT(nft)
		r.NFT(nft) // twice in a row is not an error
		r.RunInput(r.must("compile", "--dry-run", "--live", "--format", "ip"), "sh", "-e")
	})
	byText("live script", func() {
		r.RunInput(r.must("compile", "--dry-run", "--live"), "sh")
	})
	// This is how people save a ruleset.
	r.apply(policy)
	saved := r.Run("nft", "list", "table", "inet", "pbr")
	r.NFT("delete table inet pbr")
	r.NFT(saved)
	if res := r.pbr("diff"); res.Code != 0 {
		r.T().Errorf("listed and loaded: pbr diff: exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	r.must("flush")
	byText("script for any machine", func() {
		script := r.must("compile", "--dry-run")
		r.RunInput(script, "sh")
		r.RunInput(script, "sh")
	})
}

// A script does not care what policy was there before it.
func TestScriptAfterScript(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	g := reference.Generator{Rand: rand.New(rand.NewPCG(testSeed(t), 101)), World: emptyWorld()}
	for range 5 {
		policy := r.printablePolicy(&g).TOML()
		r.write(policy)
		r.RunInput(r.must("compile", "--dry-run"), "sh")
		if res := r.pbr("diff"); res.Code != 0 {
			r.T().Fatalf("after the script: pbr diff: exit status %d\n%s%s\nthe policy:\n%s", res.Code, res.Stdout, res.Stderr, policy)
		}
	}
}

// printablePolicy makes policies until one is legal whose rules iproute2 6.1 can be reported: it
// knows no dscp.
func (r *router) printablePolicy(g *reference.Generator) *reference.Policy {
	r.T().Helper()
	for {
		p := r.randomPolicy(g)
		if !slices.ContainsFunc(p.Rules, func(rule reference.Rule) bool { return len(rule.DSCP) > 0 }) {
			return p
		}
	}
}

// Where a policy says nothing of offload, the script makes what apply would, on a kernel with
// flowtables and on one without; where offload is required, a kernel without is reported before
// anything is changed.
func TestScriptOffloads(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	r := newRouter(n.Router)
	lab.WaitFor(t, "IPv6 addresses that may be used", func() bool { return r.Run("ip", "-6", "addr", "show", "tentative") == "" })
	r.write(strings.Replace(twoUplinks, `offload = "off"`, "", 1))
	r.RunInput(r.must("compile", "--dry-run"), "sh")
	r.inSync()
	r.must("flush")
	r.write(strings.Replace(twoUplinks, `offload = "off"`, "sysctl = true\noffload = { required = true }", 1))
	before := r.everythingOn()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(r.must("compile", "--dry-run")), 0o600); err != nil {
		t.Fatal(err)
	}
	res := r.Exec("sh", file)
	if res.Code == 0 {
		r.inSync()
		return
	}
	if d := diffLines(before, r.everythingOn()); d != "" ||
		!strings.Contains(res.Stderr, "offload is required, and this kernel has no flowtables") {
		t.Errorf("exit status %d: %s\nchanged:\n%s", res.Code, res.Stderr, d)
	}
}

// whereUsed has each set that depends on which uplinks have routes: of default's primary uplink, of
// balances over uplinks and tables, of policies to an uplink.
const whereUsed = `
[pbr]
offload = "off"
` + ispsBoth + `[default]
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[[table]]
name = "only-isp2"
strict = true
routes = [{ uplink = "isp2" }]
[[balance]]
name = "uplinks"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "tables"
members = [{ table = "only-isp2" }, { uplink = "isp1" }]
[[policy]]
name = "one"
src = ["192.168.10.11", "2001:db8:10::11"]
uplink = "isp2"
strict = true
[[policy]]
name = "other"
src = ["192.168.10.12", "2001:db8:10::12"]
uplink = "isp2"
strict = false
[[policy]]
name = "strictly"
src = ["192.168.10.13", "2001:db8:10::13"]
balance = "uplinks"
strict = true
[[policy]]
name = "balanced"
src = ["192.168.10.14", "2001:db8:10::14"]
balance = "tables"
`

// What cannot be used now is omitted by the script as it is by apply: an uplink without an address
// of an IP version, whatever link-local address is on its way, and one whose link is down or not
// there. One with a deprecated address can be used.
func TestScriptLeavesOutWhatApplyDoes(t *testing.T) {
	t.Parallel()
	isp2 := lab.ISP(2)
	isp2.Router6, isp2.Gateway6 = netip.Prefix{}, netip.Addr{}
	n := lab.Build(lab.New(t), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), isp2}})
	r := newRouter(n.Router)
	for _, row := range []struct{ change, said string }{
		{"", "wan2 left out: it has no IPv6 address"},
		{"link set wan2 down; link set wan2 up", "wan2 left out: it has no IPv6 address"}, // its link-local address is tentative
		{"addr add 2001:db8:f2::2/64 dev wan2 nodad preferred_lft 0", ""},
		{"addr del 198.51.100.2/24 dev wan2", "wan2 left out: it has no IPv4 address"},
		{"link set wan2 down", "wan2 left out: it is down"},
		{"link del wan2", "wan2 left out: it does not exist"},
	} {
		for _, command := range strings.Split(row.change, "; ") {
			if command != "" {
				r.IP(command)
			}
		}
		r.apply(whereUsed)
		r.inSync()
		byNetlink := r.ours()
		r.must("flush")
		res := r.ExecInput(r.must("compile", "--dry-run"), "sh")
		if res.Code != 0 || !strings.Contains(res.Stderr, row.said) || row.said == "" && res.Stderr != "" {
			t.Errorf("%q: script: exit status %d, stderr %q", row.change, res.Code, res.Stderr)
		}
		if d := diffLines(byNetlink, r.ours()); d != "" {
			t.Errorf("%q: - by apply, + by script:\n%s", row.change, d)
		}
		r.inSync()
		r.must("flush")
	}
}
