package integration

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/reference"
	"pbr/kernel/route"
)

// seedEnv repeats a run of the random tests.
const seedEnv = "PBR_SEED"

// testSeed returns the seed of a random test, and prints it.
func testSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s=%s: %v", seedEnv, s, err)
		}
	}
	t.Logf("%s=%d repeats this run", seedEnv, seed)
	return seed
}

// destinations are hosts of the LANs, providers' own addresses, a link-local one, and internets of
// both families.
var destinations = []string{
	"192.168.20.10/32", "2001:db8:20::10/128", "192.168.10.12/32", "192.0.2.1/32", "198.51.100.1/32", "169.254.7.7/32",
	"8.8.0.0/16", "9.9.0.0/16", "100.100.0.0/16", "203.0.112.0/24", "198.18.0.0/15",
	"2001:db8:ff00::/48", "2606:4700::/32", "2a00:1450::/32",
}

// worldOf says of a network what random policies and their plain reading have to know.
func worldOf(spec lab.Spec, mainDefault string) (reference.World, *reference.Host) {
	rulesKnowDSCP, err := route.KernelAtLeast(6, 13)
	if err != nil {
		panic(err) // uname(2) does not fail
	}
	world := reference.World{MainDefault: mainDefault, OldRules: !rulesKnowDSCP}
	host := &reference.Host{Addrs: map[string][]netip.Prefix{}}
	for _, d := range destinations {
		world.Destinations = append(world.Destinations, netip.MustParsePrefix(d))
	}
	for _, s := range spec.LANs {
		world.Arrivals = append(world.Arrivals, s.Iface)
		for _, net := range []netip.Prefix{s.V4, s.V6} {
			host.Addrs[s.Iface] = append(host.Addrs[s.Iface], netip.PrefixFrom(net.Addr().Next(), net.Bits()))
			world.SourceNets = append(world.SourceNets, net)
		}
		for _, net := range s.Routed {
			host.Main = append(host.Main, reference.MainRoute{Dst: net, Dev: s.Iface})
			world.SourceNets = append(world.SourceNets, net)
			world.Sources = append(world.Sources, net)
			world.Destinations = append(world.Destinations, net)
		}
		for _, a := range s.Hosts {
			world.Sources = append(world.Sources, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, s := range spec.ISPs {
		u := reference.Uplink{Name: s.Name, Interface: s.Iface}
		if s.Line != lab.TunnelLine {
			u.Gateway4, u.Gateway6 = s.Gateway4.String(), s.Gateway6.String()
		}
		world.Uplinks = append(world.Uplinks, u)
		host.Addrs[s.Iface] = []netip.Prefix{s.Router4, s.Router6}
	}
	return world, host
}

// emptyWorld is what random policies are made of on a bench whose main table has no default route.
func emptyWorld() reference.World {
	w, _ := worldOf(propertySpec(), "")
	w.RunTime = true
	return w
}

// randomPolicy makes policies until one is legal.
func (r *router) randomPolicy(g *reference.Generator) *reference.Policy {
	r.T().Helper()
	for {
		if p := g.Policy(); r.legal(p) {
			return p
		}
	}
}

// otherClasses gives p other policies until they are legal.
func (r *router) otherClasses(g *reference.Generator, p *reference.Policy) {
	r.T().Helper()
	for {
		if g.Classes(p); r.legal(p) {
			return
		}
	}
}

// legal reports whether pbr takes a policy. The mistakes that random policies may make are a
// policy that matches nothing, and a rule of too many addresses; any other fails the test.
func (r *router) legal(p *reference.Policy) bool {
	r.T().Helper()
	r.write(p.TOML())
	res := r.pbr("check")
	if res.Code == 0 {
		return true
	}
	errors := 0
	for _, line := range strings.Split(res.Stdout+res.Stderr, "\n") {
		if !strings.Contains(line, ": error: ") {
			continue
		}
		errors++
		if !strings.HasSuffix(line, "[impossible-match]") && !strings.HasSuffix(line, "[rule-too-wide]") {
			r.T().Fatalf("pbr check refuses a good policy: %s\nthe policy:\n%s", line, p.TOML())
		}
	}
	if errors == 0 {
		r.T().Fatalf("pbr check: exit status %d without an error\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	return false
}
