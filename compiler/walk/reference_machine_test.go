package walk_test

import (
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pbr/compiler"
	"pbr/compiler/interval"
	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
	"pbr/integration/reference"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// arrivals and uplinks are the interfaces of the bench with their addresses.
var addresses = map[string][]netip.Prefix{
	"br-lan":   prefixes("192.168.10.1/24", "2001:db8:10::1/64"),
	"br-guest": prefixes("192.168.20.1/24", "2001:db8:20::1/64"),
	"wan1":     prefixes("192.0.2.2/24", "2001:db8:f1::2/64"),
	"wan2":     prefixes("198.51.100.2/24", "198.51.100.3/24", "2001:db8:f2::2/64"),
	"tun0":     prefixes("203.0.113.2/24", "2001:db8:f3::2/64"),
}

func newBench(t *testing.T, r *rand.Rand) *bench {
	return &bench{t: t, g: &reference.Generator{Rand: r, World: reference.World{
		RunTime: true,
		Domains: true,
		Cgroups: []string{"system.slice/a.service", "system.slice/a.service/payload.scope", "system.slice/b.service",
			"torrents.slice", "user.slice/user-7.slice/a.service"},
		Arrivals: []string{"br-lan", "br-guest"},
		Uplinks: []reference.Uplink{
			{Name: "isp1", Interface: "wan1", Gateway4: "192.0.2.1", Gateway6: "2001:db8:f1::1"},
			{Name: "isp2", Interface: "wan2", Gateway4: "198.51.100.1", Gateway6: "2001:db8:f2::1"},
			{Name: "isp3", Interface: "tun0"},
		},
		Sources: prefixes("192.168.10.10/32", "192.168.10.11/32", "192.168.10.12/32", "192.168.20.10/32", "10.50.0.0/16",
			"2001:db8:10::10/128", "2001:db8:10::11/128", "2001:db8:20::10/128", "2001:db8:50::/48"),
		SourceNets: prefixes("192.168.10.0/24", "192.168.20.0/24", "10.50.0.0/16", "2001:db8:10::/64",
			"2001:db8:20::/64", "2001:db8:50::/48"),
		Destinations: prefixes("192.168.20.10/32", "2001:db8:20::10/128", "192.168.10.12/32", "192.0.2.1/32",
			"198.51.100.1/32", "169.254.7.7/32",
			"8.8.0.0/16", "9.9.0.0/16", "100.100.0.0/16", "203.0.112.0/24", "198.18.0.0/15", "2001:db8:ff00::/48",
			"2606:4700::/32", "2a00:1450::/32",
			"10.50.0.0/16", "2001:db8:50::/48"),
	}}}
}

// setMain gives main its routes again, and all uplinks their health.
func (b *bench) setMain() {
	b.main = []string{"isp1", ""}[b.g.IntN(2)]
	b.g.World.MainDefault = b.main
	b.host = reference.Host{Addrs: addresses, Main: []reference.MainRoute{
		{Dst: netip.MustParsePrefix("198.18.0.0/15"), Dev: "wan2"},
		{Dst: netip.MustParsePrefix("10.50.0.0/16"), Dev: "br-lan"}, {Dst: netip.MustParsePrefix("2001:db8:50::/48"), Dev: "br-lan"}}}
	if b.main != "" {
		b.host.Main = append(b.host.Main, reference.MainRoute{Dst: netip.MustParsePrefix("0.0.0.0/0"), Dev: "wan1"},
			reference.MainRoute{Dst: netip.MustParsePrefix("::/0"), Dev: "wan1"})
	}
	b.fail()
}

// fail lets uplinks fail their checks, in one IP version or both, in an order.
func (b *bench) fail() {
	b.host.Down = map[reference.UplinkVersion]int{}
	for i, n := range b.g.Perm(len(b.g.World.Uplinks)) {
		for _, v6 := range []bool{false, true} {
			if b.g.IntN(3) == 0 {
				b.host.Down[reference.UplinkVersion{Uplink: b.g.World.Uplinks[n].Name, V6: v6}] = i + 1
			}
		}
	}
}

// health is what the compiler is reported the failed checks.
func (b *bench) health() compiler.Health {
	h := compiler.Health{}
	for line, order := range b.host.Down {
		family := plan.IPv4
		if line.V6 {
			family = plan.IPv6
		}
		h[compiler.UplinkVersion{Uplink: line.Uplink, Family: family}] = order
	}
	return h
}

// compile makes the policy the router's; it returns nil if it is wrong in the one way that random
// policies may be: one that matches nothing.
func (b *bench) compile() *plan.Plan {
	p, host := b.planOf(nil)
	if p == nil {
		return nil
	}
	b.router, b.strict, b.marks = b.routerOf(p, host), map[uint32]bool{}, map[string]uint32{}
	for _, n := range p.Numbers {
		b.marks[n.Name] = n.Mark
		if n.Name == plan.DefaultName {
			b.past = n.Mark
		}
		for _, t := range b.policy.Tables {
			b.strict[n.Table] = b.strict[n.Table] || n.Strict || t.Strict && t.Name == n.Name
		}
	}
	return p
}

func (b *bench) planOf(gone map[string]bool) (*plan.Plan, plan.HostFacts) {
	text := b.policy.TOML()
	doc, problems := policy.ParseWith(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml",
		policy.Options{ErrorsOnly: true})
	host := b.machineOf(gone)
	host.Cgroups = b.cgroupsOf(compiler.Needs(doc).Cgroups)
	if !problems.HasErrors() {
		c := compiler.New(doc)
		c.Form = []layers.Form{layers.Cheapest, layers.Maps, layers.Masks, layers.List}[b.policies%4]
		p, more := c.Compile(host, b.health())
		if p != nil {
			return p, host
		}
		problems = append(problems, more...)
	}
	for _, d := range problems {
		if d.Severity == policy.Error && d.Code != "impossible-match" && d.Code != policy.CodeRuleTooWide {
			b.t.Fatalf("%+v\nthe policy:\n%s", d, text)
		}
	}
	return nil, host
}

// cgroupsOf are the numbers of the control groups of each set.
func (b *bench) cgroupsOf(sources []plan.CgroupSource) map[string][]uint64 {
	sets := map[string][]uint64{}
	for _, s := range sources {
		for _, group := range b.g.World.Cgroups {
			for i, level := range levelsOf(group) {
				name := strings.Join(strings.Split(group, "/")[:i+1], "/")
				if (s.Unit && path.Base(name) == s.Name || !s.Unit && name == s.Name) && !slices.Contains(sets[s.Set], level) {
					sets[s.Set] = append(sets[s.Set], level)
				}
			}
		}
		slices.Sort(sets[s.Set])
	}
	return sets
}

// levelsOf are the numbers of a control group and of those that it is in, the outermost first: they
// have something of the name.
func levelsOf(group string) (out []uint64) {
	for i := range group + "/" {
		if i == len(group) || group[i] == '/' {
			h := fnv.New64()
			_, _ = h.Write([]byte(group[:i]))
			out = append(out, h.Sum64())
		}
	}
	if group == "" {
		return nil
	}
	return out
}

// machineOf is the bench as a compiler sees it.
func (b *bench) machineOf(gone map[string]bool) plan.HostFacts {
	m := plan.HostFacts{Known: true, DSCPRules: true, Now: time.Now(),
		Links: map[string]plan.Link{"lo": {Up: true, Carrier: true, Loopback: true}}}
	for name, prefixes := range b.host.Addrs {
		if gone[name] {
			continue
		}
		link := plan.Link{Up: true, Carrier: true}
		for _, p := range prefixes {
			link.Addrs = append(link.Addrs, p.Addr())
			m.Connected = append(m.Connected, p.Masked())
		}
		if b.main != "" && name == "wan1" {
			link.Gateway4, link.Gateway6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:f1::1")
		}
		m.Links[name] = link
	}
	slices.SortFunc(m.Connected, netip.Prefix.Compare)
	return m
}

// elementsOf are the members of a list as a set has them: those of an IP version, overlapping ones
// merged.
func elementsOf(spans []reference.Span, family plan.Family) (out []plan.Element) {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b reference.Span) int { return a.From.Compare(b.From) })
	for _, s := range sorted {
		e := plan.Element{From: plan.KeyFromAddr(s.From), To: plan.KeyFromAddr(s.To)}
		if plan.FamilyOf(s.From) != family {
			continue
		}
		if n := len(out); n > 0 && e.From.Compare(out[n-1].To) <= 0 {
			if out[n-1].To.Compare(e.To) < 0 {
				out[n-1].To = e.To
			}
			continue
		}
		out = append(out, e)
	}
	return out
}

// routerOf puts a plan on the bench.
func (b *bench) routerOf(p *plan.Plan, host plan.HostFacts) *walk.Router {
	facts := &walk.Facts{Known: true, Links: map[string]walk.Link{}, Members: map[string][]plan.Element{}}
	for _, l := range b.policy.Lists {
		for _, family := range plan.Families {
			facts.Members[plan.ListSet(l.Name, family)] = elementsOf(l.Members, family)
		}
	}
	if b.g.IntN(2) == 0 {
		b.keepOwn(facts.Members)
	}
	for _, family := range plan.Families {
		facts.Rules = append(facts.Rules, plan.Rule{Family: family, Action: plan.ActLookup, Table: 255},
			plan.Rule{Family: family, Priority: 32766, Action: plan.ActLookup, Table: plan.MainTable})
	}
	add := func(dst netip.Prefix, dev string) {
		if _, there := host.Links[dev]; !there {
			return
		}
		family := plan.IPv4
		if dst.Addr().Is6() {
			family = plan.IPv6
		}
		facts.Routes = append(facts.Routes, plan.Route{Family: family, Table: plan.MainTable, Dst: dst,
			Kind: plan.Unicast, Hops: []plan.Hop{{Dev: dev, Weight: 1}}})
	}
	for name := range host.Links {
		facts.Links[name] = walk.Link{Addrs: b.host.Addrs[name], Down: !host.Links[name].Up}
		for _, p := range b.host.Addrs[name] {
			add(p.Masked(), name)
		}
	}
	for _, r := range b.host.Main {
		add(r.Dst, r.Dev)
	}
	r, err := walk.NewRouter(p, facts)
	if err != nil {
		b.t.Fatalf("%v\nthe policy:\n%s", err, b.policy.TOML())
	}
	return r
}

// keepOwn fills the sets of own addresses, as pbr watch would, and puts in some addresses too many.
func (b *bench) keepOwn(sets map[string][]plan.Element) {
	for _, family := range plan.Families {
		own := map[netip.Addr]bool{netip.MustParseAddr("203.0.112.9"): true, netip.MustParseAddr("2001:db8:10::10"): true}
		for _, prefixes := range b.host.Addrs {
			for _, p := range prefixes {
				own[p.Addr()] = true
				if p.Addr().Is4() {
					own[interval.LastAddr(p)] = true
				}
			}
		}
		var elements []plan.Element
		for a := range own {
			if a.Is4() == (family == plan.IPv4) {
				elements = append(elements, plan.Element{From: plan.KeyFromAddr(a), To: plan.KeyFromAddr(a)})
			}
		}
		sets[plan.SetOwn(family)] = elements
		known := plan.NFProto(family)
		sets[plan.SetOwnKnown] = append(sets[plan.SetOwnKnown], plan.Element{From: known.From, To: known.To})
	}
}

func (b *bench) uplink(dev string) *reference.Uplink {
	for i := range b.policy.Uplinks {
		if b.policy.Uplinks[i].Interface == dev {
			return &b.policy.Uplinks[i]
		}
	}
	return nil
}

// isInternet reports whether main has no route to an address but its default one.
func (b *bench) isInternet(a netip.Addr) bool {
	for _, prefixes := range b.host.Addrs {
		for _, n := range prefixes {
			if n.Masked().Contains(a) {
				return false
			}
		}
	}
	return !slices.ContainsFunc(b.host.Main, func(r reference.MainRoute) bool { return r.Dst.Bits() > 0 && r.Dst.Contains(a) })
}
