package walk_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
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
	"pbr/integration/race"
	"pbr/integration/reference"
)

const (
	// seedEnv repeats a run.
	seedEnv = "PBR_SEED"
	// packetsEnv is how many packets are sent.
	packetsEnv      = "PBR_PACKETS"
	usualPackets    = 100_000
	packetsOfPolicy = 400
)

// TestWaysFollowRandomPolicies compiles random policies and asks a plain reading of them where
// random packets should go: first ones, their answers, later ones and connections from outside, in
// every state of health.
func TestWaysFollowRandomPolicies(t *testing.T) {
	t.Parallel()
	seed, packets := uint64(time.Now().UnixNano()), race.Cases(usualPackets)
	if s := os.Getenv(seedEnv); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if s := os.Getenv(packetsEnv); s != "" {
		packets, _ = strconv.Atoi(s)
	}
	t.Logf("%s=%d repeats this run", seedEnv, seed)
	b := newBench(t, rand.New(rand.NewPCG(seed, 0)))
	for b.checked < packets && !t.Failed() {
		b.round()
	}
	t.Logf("%d packets of %d policies went as the policies say, %d of them by an uplink, %d to nowhere, %d by chance",
		b.checked, b.policies, b.left, b.nowhere, b.several)
}

// bench is a router without a kernel.
type bench struct {
	t    *testing.T
	g    *reference.Generator
	main string

	host   reference.Host
	policy *reference.Policy
	router *walk.Router
	// strict are the numbers of the policy's strict tables.
	strict map[uint32]bool
	// past is the mark of packets that go past the policy's rules.
	past uint32
	// marks are the numbers of the policy's uplinks and tables.
	marks map[string]uint32

	policies, checked, left, nowhere, several int
}

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

// round lives one policy's life.
func (b *bench) round() {
	b.setMain()
	b.policy = b.g.Policy()
	b.policy.ReversePath = []string{"kernel", "nft", "nft-strict"}[b.g.IntN(3)]
	b.policy.Offload = []string{"off", "unmarked", "all"}[b.g.IntN(3)]
	if b.compile() == nil {
		return
	}
	b.policies++
	var first []*sent
	for range packetsOfPolicy {
		first = append(first, b.first(b.packet()))
	}
	b.fromOutside()
	b.spoofed()
	b.withoutLinks(first)
	b.fail()
	if b.compile() == nil {
		b.t.Fatalf("health makes no policy wrong:\n%s", b.policy.TOML())
	}
	b.later(first, "with other uplinks down")
	for range packetsOfPolicy {
		b.first(b.packet())
	}
	b.strictStays(first)
	before, _ := b.planOf(nil)
	b.otherClasses()
	after, _ := b.planOf(nil)
	remark(first, before, after)
	b.later(first, "under other policies")
}

// remark gives connections the marks that their uplinks have after an edit, as an apply does: a
// pinned table keeps its number, a strict one that nothing leads to any more gives its connections
// to the uplink's other one.
func remark(first []*sent, before, after *plan.Plan) {
	marks := map[uint32]uint32{}
	for _, n := range before.Numbers {
		for _, heir := range after.Numbers {
			if n.Uplink != "" && heir.Uplink == n.Uplink && (heir.Strict == n.Strict || marks[n.Mark] == 0) {
				marks[n.Mark] = heir.Mark
			}
		}
	}
	for _, s := range first {
		for i := range s.ways {
			way := &s.ways[i]
			mark, inside := marks[way.CTMark&before.NumberMask()], uint32(0)
			if mark != 0 && way.CTMark&before.Inside != 0 {
				inside = after.Inside
			}
			way.CTMark = way.CTMark&^before.Mask | mark | inside
		}
	}
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

func (b *bench) eval() reference.Evaluator {
	return reference.Evaluator{Policy: b.policy, Host: &b.host}
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

// packet is a first packet, now and then from one of the router's own addresses.
func (b *bench) packet() reference.Packet {
	if b.g.IntN(8) == 0 {
		var own []netip.Addr
		for _, u := range b.policy.Uplinks {
			for _, p := range addresses[u.Interface] {
				own = append(own, p.Addr())
			}
		}
		return b.g.LocalPacket(own)
	}
	k := b.g.Packet()
	if k.Src == netip.MustParseAddr("192.168.10.11") {
		k.Mark = 1 // as somebody else's table does
	}
	if k.Proto == 58 && b.g.IntN(2) == 0 {
		k.ICMPType = 132 + uint8(b.g.IntN(7)) // router and neighbour discovery, and what is beside it
	}
	if b.g.IntN(50) == 0 {
		if k.Src = netip.MustParseAddr("192.0.2.2"); k.Dst.Is6() {
			if b.policy.ReversePath == "kernel" {
				return b.packet() // it would take the packet, and the answer
			}
			k.Src = netip.MustParseAddr("2001:db8:f2::2")
		}
	}
	return k
}

func walked(k reference.Packet) *walk.Packet {
	p := &walk.Packet{IIF: k.IIF, Src: k.Src, Dst: k.Dst, Proto: k.Proto, SPort: k.SPort, DPort: k.DPort,
		ICMPType: k.ICMPType, DSCP: k.DSCP, Mark: k.Mark,
		MAC: k.MAC, Ethernet: k.IIF != "", Time: time.Now(), UID: k.UID, GID: k.GID, HasUID: k.Local()}
	copy(p.Cgroups[:], levelsOf(k.Cgroup))
	return p
}

// sent is a first packet and what became of it.
type sent struct {
	packet reference.Packet
	frame  *walk.Packet
	ways   []walk.Way
	// got are the ways in the reference's words, wanted what the policy asks for.
	got, wanted []reference.Way
	// strict are the numbers of the strict tables, stays whether each way is one that the
	// connection keeps.
	strict map[uint32]bool
	stays  []bool
}

// first compares a first packet's ways, and those of its answer and of the packet after it.
func (b *bench) first(k reference.Packet) *sent {
	s := &sent{packet: k, frame: walked(k), strict: b.strict}
	b.checked++
	if !b.agrees(s) {
		b.policy = reference.Minimised(b.policy, func(c *reference.Policy) bool {
			b.policy = c
			return b.compile() != nil && !b.agrees(s)
		})
		b.compile()
		b.agrees(s)
		b.disagree(s, "first packet", s.got, s.wanted)
		return s
	}
	b.count(s)
	for i := range s.ways {
		b.answer(s, &s.ways[i])
	}
	s.stays = slices.Repeat([]bool{true}, len(s.ways))
	b.later([]*sent{s}, atOnce)
	for i := range s.ways {
		s.stays[i] = b.uplink(s.ways[i].Dev) != nil && b.eval().Stays(s.ways[i].Dev, s.packet.Dst.Is6())
	}
	return s
}

// agrees reports whether a first packet's ways are those that the policy asks for.
func (b *bench) agrees(s *sent) bool {
	k := s.packet
	s.ways, s.wanted, s.got = b.router.First(s.frame), b.eval().First(k), nil
	for i := range s.ways {
		s.got = append(s.got, wayOf(&s.ways[i]))
	}
	if slices.ContainsFunc(s.got, func(w reference.Way) bool { return !slices.Contains(s.wanted, w) }) {
		return false
	}
	switch {
	case b.hashes(s): // it chooses one
	case k.Local() && k.Dst.Is6() && slices.Contains(s.wanted, reference.Way{}): // any address may be the one that the kernel chooses
	default:
		return !slices.ContainsFunc(s.wanted, func(w reference.Way) bool { return !slices.Contains(s.got, w) })
	}
	return true
}

// hashes reports whether a balance by hash chooses for a packet, as its sender fills in the
// address.
func (b *bench) hashes(s *sent) bool {
	return slices.ContainsFunc(s.ways, func(w walk.Way) bool {
		k := s.packet
		if !k.Src.IsValid() {
			k.Src = w.Sender
		}
		balance := b.eval().BalanceOf(k)
		return balance != nil && balance.Method == "hash"
	})
}

func (b *bench) count(s *sent) {
	switch w := &s.ways[0]; {
	case len(s.ways) > 1:
		b.several++
	case w.Fate != walk.Forwarded:
		b.nowhere++
	case !strings.HasPrefix(w.Dev, "br-"):
		b.left++
	}
}

// wayOf is a way in the reference's words.
func wayOf(w *walk.Way) reference.Way {
	if w.Fate != walk.Forwarded {
		return reference.Way{}
	}
	return reference.Way{Dev: w.Dev, Src: w.Src}
}

// answer checks that the answer to a packet comes to where that came from, if the policy's rules
// let it.
func (b *bench) answer(s *sent, way *walk.Way) {
	if way.Fate != walk.Forwarded || b.uplink(way.Dev) == nil {
		return
	}
	k := reference.Packet{IIF: way.Dev, Src: s.packet.Dst, Dst: way.Sender, Proto: s.packet.Proto,
		SPort: s.packet.DPort, DPort: s.packet.SPort, DSCP: s.packet.DSCP}
	wanted := b.eval().Unclassified(k)
	if way.CTMark&0xff000000 != 0 {
		wanted = b.eval().Pinned(k)
	}
	for _, back := range b.router.Answer(s.frame, way) {
		switch {
		case s.packet.Local() && back.Fate != walk.Delivered:
			b.disagree(s, "answer to the router", []reference.Way{wayOf(&back)}, nil)
		case !s.packet.Local() && !slices.Contains(wanted, wayOf(&back).Dev):
			b.disagree(s, "answer", []reference.Way{wayOf(&back)}, wanted)
		case back.Mark&0xff000000 != 0 && back.Mark&0xff000000 != b.past:
			b.disagree(s, "an answer from an uplink carries a table's mark", []reference.Way{wayOf(&back)}, nil)
		}
	}
	b.checked++
}

// atOnce says that nothing has changed since the first packet.
const atOnce = "at once"

// later checks that later packets go where the first one went, whatever has changed.
func (b *bench) later(first []*sent, when string) {
	for _, s := range first {
		if s.packet.Local() && s.packet.Dst.Is6() && !s.packet.Src.IsValid() {
			continue // the socket keeps the route that it got before it had an address
		}
		for i := range s.ways {
			way := &s.ways[i]
			past := when == atOnce && !s.packet.Local() && len(b.policy.Rules) > 0 && b.eval().LeftToDefault(s.packet)
			if way.Fate != walk.Forwarded || !past && b.uplink(way.Dev) == nil || !s.stays[i] {
				continue
			}
			if s.packet.Local() && b.socketIsRefused(s, way) {
				continue
			}
			b.checked++
			for _, next := range append(b.router.Next(s.frame, way), b.unanswered(s, way)...) {
				if wayOf(&next) != wayOf(way) || way.CTMark != 0 && next.CTMark != way.CTMark {
					b.disagree(s, "later packet "+when, []any{wayOf(&next), next.CTMark}, []any{wayOf(way), way.CTMark})
				}
			}
		}
	}
}

// socketIsRefused reports whether a sender on the router itself gets no route. It asks without a
// mark, before there is a packet that could belong to a connection.
func (b *bench) socketIsRefused(s *sent, way *walk.Way) bool {
	k := s.packet
	k.Src = way.Sender
	return slices.Contains(b.eval().Unclassified(k), "")
}

// unanswered are the ways of the next packet of a connection that nobody has answered yet: it is
// still new, but not a first one.
func (b *bench) unanswered(s *sent, way *walk.Way) []walk.Way {
	if s.packet.Local() || len(s.ways) > 1 {
		return nil // the same choice again, which a hash makes
	}
	k := *s.frame
	k.CTState, k.CTStatus, k.CTMark = walk.StateNew, walk.StatusConfirmed, way.CTMark
	return b.router.Send(&k)
}

// fromOutside opens connections from the providers; their answers use the uplink that they
// came through.
func (b *bench) fromOutside() {
	for _, u := range b.policy.Uplinks {
		for range packetsOfPolicy / 20 {
			k := b.g.Packet()
			k.IIF, k.Src, k.Dst, k.Mark, k.DSCP = u.Interface, k.Dst, k.Src, 0, 0
			if !u.Carries(k.Dst.Is6()) || !b.isInternet(k.Src) {
				continue
			}
			s := &sent{packet: k, frame: walked(k)}
			s.ways = b.router.First(s.frame)
			b.checked++
			wanted := b.eval().Unclassified(k)
			if b.eval().Spoofed(k) {
				wanted = []string{""}
			}
			for i := range s.ways {
				way := &s.ways[i]
				if !slices.Contains(wanted, wayOf(way).Dev) {
					b.disagree(s, "connection from outside", []reference.Way{wayOf(way)}, wanted)
				}
				if way.Fate == walk.Forwarded && b.eval().Stays(u.Interface, k.Dst.Is6()) &&
					way.In != compiler.ChainNever && way.CTMark&0xff000000 != b.marks[u.Name] {
					b.disagree(s, "connection from outside, pinned elsewhere", []any{wayOf(way), way.CTMark}, b.marks[u.Name])
				}
				if way.Fate != walk.Forwarded || b.uplink(way.Dev) != nil {
					continue
				}
				b.checked++
				for _, back := range b.router.Answer(s.frame, way) {
					if back.Fate != walk.Forwarded || back.Dev != u.Interface || back.Src != k.Dst {
						b.disagree(s, "answer to a connection from outside", []reference.Way{wayOf(&back)},
							[]reference.Way{{Dev: u.Interface, Src: k.Dst}})
					}
				}
			}
		}
	}
}

// spoofed sends packets of hosts inside from the providers, which are dropped where sources are
// judged.
func (b *bench) spoofed() {
	for _, u := range b.policy.Uplinks {
		for range packetsOfPolicy / 40 {
			k := b.g.Packet()
			k.IIF, k.Mark = u.Interface, 0
			if !b.eval().Spoofed(k) {
				continue
			}
			b.checked++
			for _, way := range b.router.First(walked(k)) {
				if way.Fate == walk.Forwarded {
					b.disagree(&sent{packet: k, ways: []walk.Way{way}}, "spoofed", []reference.Way{wayOf(&way)}, nil)
				}
			}
		}
	}
}

// withoutLinks takes one link after the other down, and nobody compiles again: what is strict
// leaves through none of the others' uplinks, neither as a first packet nor as the next one of a
// connection.
func (b *bench) withoutLinks(first []*sent) {
	p, host := b.planOf(nil)
	for _, u := range b.policy.Uplinks {
		link := host.Links[u.Interface]
		link.Up = false
		host.Links[u.Interface] = link
		router := b.routerOf(p, host)
		link.Up = true
		host.Links[u.Interface] = link
		leaks := func(way *walk.Way, may []string) bool {
			return way.Fate == walk.Forwarded && b.uplink(way.Dev) != nil && way.Rule.Table != plan.MainTable &&
				!slices.Contains(may, way.Dev)
		}
		for _, s := range first {
			may, strict := b.eval().Only(s.packet)
			if s.packet.Local() || !strict {
				continue
			}
			b.checked++
			for _, way := range router.First(s.frame) {
				if leaks(&way, may) {
					b.disagree(s, "strict, without link "+u.Interface, []reference.Way{wayOf(&way)}, may)
				}
			}
			for i := range s.ways {
				if was := &s.ways[i]; was.Fate == walk.Forwarded && was.Dev == u.Interface && was.Rule.Table != plan.MainTable {
					for _, next := range router.Next(s.frame, was) {
						if leaks(&next, may) {
							b.disagree(s, "a strict connection, without link "+u.Interface, []reference.Way{wayOf(&next)}, may)
						}
					}
				}
			}
		}
	}
}

// otherClasses gives the router other policies.
func (b *bench) otherClasses() {
	for {
		if b.g.Classes(b.policy); b.compile() != nil {
			return
		}
	}
}

// strictStays takes uplinks away: what was caught for a strict table goes nowhere then.
func (b *bench) strictStays(first []*sent) {
	for _, u := range b.policy.Uplinks {
		p, host := b.planOf(map[string]bool{u.Interface: true})
		router := b.routerOf(p, host)
		for _, s := range first {
			for i := range s.ways {
				way := &s.ways[i]
				if way.Fate != walk.Forwarded || way.Dev != u.Interface || way.Mark&^3 == 0 || !s.strict[way.Route.Table] {
					continue
				}
				b.checked++
				for _, next := range router.Next(s.frame, way) {
					if next.Fate == walk.Forwarded && b.uplink(next.Dev) != nil && next.Rule.Table != plan.MainTable {
						b.disagree(s, "strict, without its uplink", []reference.Way{wayOf(&next)}, nil)
					}
				}
			}
		}
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

func (b *bench) disagree(s *sent, what string, got, wanted any) {
	b.t.Errorf("%s %+v\n  the plan leads to: %+v\n  the policy says: %+v\n  down: %v\nthe ways: %+v\nthe policy:\n%s",
		what, s.packet, got, wanted, b.host.Down,
		fmt.Sprintf("%+v", s.ways), b.policy.TOML())
	b.t.FailNow()
}
