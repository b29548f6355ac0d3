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
	for range 8 {
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
		r.NFT(nft) // twice in a row is no error
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
	for range 8 {
		policy := r.printablePolicy(&g).TOML()
		r.write(policy)
		r.RunInput(r.must("compile", "--dry-run"), "sh")
		if res := r.pbr("diff"); res.Code != 0 {
			r.T().Fatalf("after the script: pbr diff: exit status %d\n%s%s\nthe policy:\n%s", res.Code, res.Stdout, res.Stderr, policy)
		}
	}
}

// printablePolicy makes policies until one is legal whose rules iproute2 6.1 can be told of: it
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
// flowtables and on one without; where offload is required, a kernel without is told of before
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
	if d := diffLines(before, r.everythingOn()); d != "" || !strings.Contains(res.Stderr, "offload is required, and this kernel has no flowtables") {
		t.Errorf("exit status %d: %s\nchanged:\n%s", res.Code, res.Stderr, d)
	}
}

// A masqueraded uplink without an address of one IP version is left out by the script for that
// version, as by apply.
func TestScriptLeavesOutAVersionWithoutAddress(t *testing.T) {
	t.Parallel()
	isp2 := lab.ISP(2)
	isp2.Router6, isp2.Gateway6 = netip.Prefix{}, netip.Addr{}
	n := lab.Build(lab.New(t), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), isp2}})
	r := newRouter(n.Router)
	r.apply(twoUplinks)
	r.inSync()
	byNetlink := r.ours()
	if strings.Contains(byNetlink, "2001:db8:f2::1") {
		t.Fatalf("apply routes IPv6 through a masqueraded uplink without an IPv6 address:\n%s", byNetlink)
	}
	r.must("flush")
	res := r.ExecInput(r.must("compile", "--dry-run"), "sh")
	if res.Code != 0 || !strings.Contains(res.Stderr, "wan2 left out: it has no IPv6 address") {
		t.Errorf("script: exit status %d, stderr %q", res.Code, res.Stderr)
	}
	if d := diffLines(byNetlink, r.ours()); d != "" {
		t.Errorf("- by apply, + by script:\n%s", d)
	}
	r.inSync()
}
