package integration

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"pbr/compiler"
	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/integration/keep"
	"pbr/integration/lab"
	"pbr/integration/reference"
)

// packetsEnv is how many packets of a run pbr explain explains.
const packetsEnv = "PBR_PACKETS"

// How much one run of the property test does on both routers, and how much one round.
const (
	packetsExplained = 20_000
	packetsForwarded = 130
	packetsLocal     = 15
)

// TestPacketsFollowRandomPolicies applies random policies to a router, sends it random packets, and
// asks a plain reading of the policy, and pbr explain, where each of them should have gone.
func TestPacketsFollowRandomPolicies(t *testing.T) {
	t.Parallel()
	seed, explained := testSeed(t), packetsExplained
	if s := os.Getenv(packetsEnv); s != "" {
		var err error
		if explained, err = strconv.Atoi(s); err != nil {
			t.Fatalf("%s=%s: %v", packetsEnv, s, err)
		}
	}
	for i, mainDefault := range []string{"isp1", ""} {
		t.Run("main-default-"+mainDefault, func(t *testing.T) {
			t.Parallel()
			p := newProperty(t, rand.New(rand.NewPCG(seed, uint64(i))), mainDefault)
			p.keepsOwn = i == 0
			for i := 0; p.explained < explained/2; i++ {
				p.form = forms[i%len(forms)]
				p.round()
				if t.Failed() {
					t.Fatalf("%s=%d repeats this", seedEnv, seed)
				}
			}
			t.Logf("%d packets went as the policies say, %d of them out by an uplink; pbr explain explained %d "+
				"of them, and foretold the hashes of %d; balances repeated %d choices; maps of the classification: %v",
				p.checked, p.left, p.explained, p.foretold, p.repeated, p.structures)
		})
	}
}

// property is one router under random policies.
type property struct {
	t      *testing.T
	g      *reference.Generator
	net    *lab.Net
	router *router
	host   *reference.Host
	wires  map[string]*lab.Wire
	ids    uint64
	// locals are the router's own addresses that a local sender may use.
	locals []netip.Addr
	// ifaces maps a far host's name to the router's interface.
	ifaces map[string]string

	policy *reference.Policy
	form   layers.Form
	// structures counts the maps that were tried, by kind.
	structures    map[string]int
	checked, left int
	// keepsOwn means that own addresses are kept in sets, from the first policy on.
	keepsOwn bool
	// repeated counts the connections that a balance had to choose for twice, explained the packets
	// that pbr explain was asked about, foretold those of them whose choice among several it knew.
	repeated, explained, foretold int
}

// forms are what a router's classification is, in turn.
var forms = []layers.Form{layers.Cheapest, layers.Maps, layers.Masks, layers.List}

// apply makes the policy the router's: by the program, or in a form that it would not choose.
func (p *property) apply() {
	p.t.Helper()
	if p.form == layers.Cheapest {
		p.router.apply(p.policy.TOML())
		return
	}
	structures(p.router.applyAs(p.policy.TOML(), p.form, healthOf(p.host.Down)), p.structures)
}

// fillLists adds the members of lists that are filled at run time. What an earlier policy's list of
// the same name had goes.
func (p *property) fillLists() {
	p.t.Helper()
	for _, l := range p.policy.Lists {
		if !l.RunTime {
			continue
		}
		add := []string{"lists", "add", l.Name}
		for _, m := range l.Members {
			add = append(add, m.String())
		}
		switch {
		case !l.Dynamic:
			p.answered(&l)
		case l.Domains:
			p.router.must("lists", "flush", l.Name)
			p.empty(&l)
		default:
			p.router.must("lists", "flush", l.Name)
		}
		if l.Dynamic && len(l.Members) > 0 {
			p.router.must(add...)
		}
	}
}

// answered puts members into a list of domains, as dnsmasq does.
func (p *property) answered(l *reference.List) {
	p.t.Helper()
	p.empty(l)
	for _, m := range l.Members {
		p.net.Router.Run("nft", "add", "element", "inet", "pbr", plan.ListSet(l.Name, familyOf(m.From)), "{", m.From.String(), "}")
	}
}

// empty takes everything out of a list's sets, whoever put it there.
func (p *property) empty(l *reference.List) {
	p.t.Helper()
	for _, family := range plan.Families {
		p.net.Router.Run("nft", "flush", "set", "inet", "pbr", plan.ListSet(l.Name, family))
	}
}

func familyOf(a netip.Addr) plan.Family {
	if a.Is4() {
		return plan.IPv4
	}
	return plan.IPv6
}

// failSome takes uplinks out of use, in an order, as a failed check would; the router holds the
// policy.
func (p *property) failSome() {
	p.t.Helper()
	last := 0
	for _, u := range p.policy.Uplinks {
		last = max(last, p.host.Down[reference.UplinkVersion{Uplink: u.Name}])
	}
	for _, u := range p.policy.Uplinks {
		down := p.g.IntN(4) == 0
		switch {
		case down && p.host.Down[reference.UplinkVersion{Uplink: u.Name}] == 0:
			last++
			p.router.must("uplink", u.Name, "down")
			for _, v6 := range []bool{false, true} {
				p.host.Down[reference.UplinkVersion{Uplink: u.Name, V6: v6}] = last
			}
		case !down && p.host.Down[reference.UplinkVersion{Uplink: u.Name}] > 0:
			p.router.must("uplink", u.Name, "auto")
			for _, v6 := range []bool{false, true} {
				delete(p.host.Down, reference.UplinkVersion{Uplink: u.Name, V6: v6})
			}
		}
	}
}

// healthOf is what the compiler is reported the uplinks that are down.
func healthOf(down map[reference.UplinkVersion]int) compiler.Health {
	order := map[string]int{}
	for line, n := range down {
		order[line.Uplink] = n
	}
	return compiler.Down(order)
}

// pins are the uplinks that connections are pinned to, by their first packets' tuples.
func (p *property) pins(all []*sent) map[*sent]string {
	p.t.Helper()
	marks, names := p.connectionMarks(), p.router.numbers()
	pinned := map[*sent]string{}
	for _, s := range all {
		pinned[s] = names[marks[connectionOf(s)]&0xff000000]
	}
	return pinned
}

// foreignMarks is somebody else's table: it marks what one host sends, outside our bits.
const foreignMarks = `table ip somebody {
	chain pre {
		type filter hook prerouting priority raw; policy accept;
		ip saddr 192.168.10.11 meta mark set 0x00000001
	}
}
`

func propertySpec() lab.Spec {
	lan := lab.LAN("lan", "br-lan", 10, 10, 11, 12, 20)
	lan.Routed = []netip.Prefix{netip.MustParsePrefix("10.50.0.0/16"), netip.MustParsePrefix("2001:db8:50::/48")}
	tun := lab.ISP(3)
	tun.Line, tun.Iface = lab.TunnelLine, "tun0"
	return lab.Spec{
		LANs:   []lab.LANSpec{lan, lab.LAN("guest", "br-guest", 20, 10, 11)},
		ISPs:   []lab.ISPSpec{lab.ISP(1), lab.ISP(2), tun},
		Silent: true,
	}
}

func newProperty(t *testing.T, r *rand.Rand, mainDefault string) *property {
	t.Helper()
	spec := propertySpec()
	n := lab.Build(lab.New(t), spec)
	p := &property{t: t, net: n, router: newRouter(n.Router), wires: n.Wires(), ifaces: map[string]string{}, structures: map[string]int{}}
	world, host := worldOf(spec, mainDefault)
	world.RunTime, world.Domains = true, true
	p.host, host.Down = host, map[reference.UplinkVersion]int{}
	for _, s := range spec.LANs {
		p.ifaces[s.Name] = s.Iface
	}
	for _, s := range spec.ISPs {
		p.ifaces[s.Name] = s.Iface
		p.locals = append(p.locals, s.Router4.Addr(), s.Router6.Addr())
	}
	p.setMain(mainDefault)
	p.g = &reference.Generator{Rand: r, World: world}
	n.Router.NFT(foreignMarks)
	// The packets' TCP sequence numbers are constants.
	n.Router.Sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", "1")
	return p
}

// setMain gives main a static route over the second provider, and default routes, or not.
func (p *property) setMain(mainDefault string) {
	static := netip.MustParsePrefix("198.18.0.0/15")
	p.net.Router.IP("route add 198.18.0.0/15 via 198.51.100.1")
	p.host.Main = append(p.host.Main, reference.MainRoute{Dst: static, Dev: "wan2"})
	if mainDefault == "" {
		return
	}
	p.net.Router.IP("route add default via 192.0.2.1")
	p.net.Router.IP6("route add default via 2001:db8:f1::1")
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		p.host.Main = append(p.host.Main, reference.MainRoute{Dst: netip.MustParsePrefix(all), Dev: "wan1"})
	}
}

// sent is a first packet and what became of it.
type sent struct {
	packet reference.Packet
	frame  lab.Packet
	ways   []reference.Way
	// by is the far host that got it, empty for none; out is the packet as that host got it.
	by  string
	out lab.Packet
	way reference.Way
}

func (p *property) eval() reference.Evaluator {
	return reference.Evaluator{Policy: p.policy, Host: p.host}
}

// round lives one policy's life: first packets, their answers, later packets under another policy,
// and connections from outside.
func (p *property) round() {
	p.t.Helper()
	p.policy = p.router.randomPolicy(p.g)
	p.apply()
	if p.keepsOwn && p.checked == 0 {
		keep.Own(p.net.Router)
	}
	p.fillLists()
	if p.form == layers.Cheapest {
		p.failSome()
	}
	p.router.Run("conntrack", "-F")
	first := p.firstPackets()
	answered := p.answers(first)
	p.laterPackets(answered)
	p.router.otherClasses(p.g, p.policy)
	p.apply()
	p.laterPackets(answered)
	p.fromOutside()
	p.router.Run("conntrack", "-F")
	p.sameAgain(p.firstPackets())
}

func (p *property) nextID() uint64 { p.ids++; return p.ids }

func (p *property) firstPackets() []*sent {
	var all []*sent
	tuples := map[string]bool{}
	for len(all) < packetsForwarded+packetsLocal {
		s := &sent{}
		if len(all) < packetsForwarded {
			s.packet = p.g.Packet()
		} else {
			s.packet = p.g.LocalPacket(p.locals)
		}
		k := s.packet
		// A connection is known by these; ports may change in NAT, and others have none.
		tuple := fmt.Sprint(k.Proto, k.Dst, k.SPort, k.DPort)
		// The opposite direction would be its answer.
		if opposite := fmt.Sprint(k.Proto, k.Src, k.DPort, k.SPort); tuples[tuple] || tuples[opposite] || k.Src == k.Dst {
			continue
		}
		tuples[tuple] = true
		if k.Src == netip.MustParseAddr("192.168.10.11") {
			s.packet.Mark = 1
		}
		s.ways = p.eval().First(s.packet)
		s.frame = lab.Packet{
			ID: p.nextID(), SrcMAC: k.MAC, Src: k.Src, Dst: k.Dst, Proto: k.Proto, SPort: k.SPort, DPort: k.DPort,
			TCPFlags: lab.TCPSyn, ICMPType: k.ICMPType, DSCP: k.DSCP,
		}
		all = append(all, s)
	}
	p.send(all)
	for _, s := range all {
		p.checkFirst(s)
	}
	p.checkExplained("first packet", all, nil)
	return all
}

// send sends packets, waits until the router is done with them, and notes who got them.
func (p *property) send(all []*sent) {
	p.t.Helper()
	byID := map[uint64]*sent{}
	lab.Pinned(p.t, func() error {
		for _, s := range all {
			byID[s.frame.ID] = s
			s.by = ""
			if s.packet.Local() {
				// No route is an answer too: nobody gets the packet.
				_ = p.router.SendUDP(s.packet.Src, s.packet.SPort, netip.AddrPortFrom(s.packet.Dst, s.packet.DPort),
					s.packet.UID, s.packet.GID, s.frame.ID)
				continue
			}
			if err := p.wireOf(s.packet.IIF).Send(s.frame); err != nil {
				return err
			}
		}
		return p.wires["lan"].AwaitDelivery()
	})
	for name, w := range p.wires {
		got, err := w.Drain()
		if err != nil {
			p.t.Fatal(err)
		}
		for _, out := range got {
			s := byID[out.ID]
			if s == nil {
				p.t.Fatalf("%s got a packet that was not sent just now: %s", name, out)
			}
			if s.by != "" {
				p.t.Fatalf("%s and %s both got %s", s.by, name, out)
			}
			s.by, s.out = name, out
		}
	}
}

func (p *property) wireOf(iface string) *lab.Wire {
	for _, w := range p.wires {
		if w.Iface == iface {
			return w
		}
	}
	p.t.Fatalf("nothing is at the other end of %s", iface)
	return nil
}

func (p *property) checkFirst(s *sent) {
	p.t.Helper()
	p.checked++
	var wanted []string
	for _, w := range s.ways {
		if w.Dev == "" {
			wanted = append(wanted, "nowhere")
		} else {
			wanted = append(wanted, fmt.Sprintf("%s with source %s", w.Dev, w.Src))
		}
		if w.Dev == p.ifaces[s.by] && (s.by == "" || w.Src == s.out.Src) {
			s.way = w
			if w.Dev != "" && p.isUplink(w.Dev) {
				p.left++
			}
			return
		}
	}
	p.fail(s, "first packet", strings.Join(wanted, ", or "))
}

// sameAgain opens the forwarded connections again: a balance by hash, or one that remembers its
// clients, chooses for each as it did before.
func (p *property) sameAgain(first []*sent) {
	p.t.Helper()
	var again, before []*sent
	for _, s := range first {
		if s.packet.Local() || s.by == "" {
			continue
		}
		if b := p.eval().BalanceOf(s.packet); b != nil && b.Repeats() {
			a := *s
			a.frame.ID = p.nextID()
			again, before = append(again, &a), append(before, s)
		}
	}
	if len(again) == 0 {
		return
	}
	p.router.Run("conntrack", "-F")
	p.send(again)
	for i, a := range again {
		p.checked++
		if a.by != before[i].by || a.out.Src != before[i].out.Src {
			p.fail(a, "the same connection again", fmt.Sprintf("%s with source %s, as before", before[i].way.Dev, before[i].out.Src))
		}
	}
	p.repeated += len(again)
}

func (p *property) isUplink(dev string) bool {
	return strings.HasPrefix(dev, "wan") || strings.HasPrefix(dev, "tun")
}

// fail reports one disagreement with all that is needed to understand it.
func (p *property) fail(s *sent, what, wanted string) {
	p.t.Helper()
	got := "nowhere"
	if s.by != "" {
		got = fmt.Sprintf("%s with source %s", p.ifaces[s.by], s.out.Src)
	}
	from := s.packet.IIF
	if s.packet.Local() {
		from = fmt.Sprintf("the router itself, uid %d", s.packet.UID)
	}
	p.t.Errorf("%s %s\n  from %s, foreign mark %d\n  the policy says: %s\n  the kernel says: %s\nthe policy:\n"+
		"%s\nconntrack:\n%s\ndown: %v, form %d; pbr status says:\n%s",
		what, s.frame, from, s.packet.Mark, wanted, got, p.policy.TOML(), p.connections(s), p.host.Down, p.form,
		p.router.pbr("status").Stdout)
}

// connections lists the connections of a packet's destination.
func (p *property) connections(s *sent) string {
	family := "ipv4"
	if s.packet.Dst.Is6() {
		family = "ipv6"
	}
	return p.router.Exec("conntrack", "-L", "-f", family, "-d", s.packet.Dst.String()).Stdout
}

// answers lets the providers answer the forwarded packets that they got, and returns those
// connections whose answer went back to where the packet came from.
func (p *property) answers(first []*sent) []*sent {
	p.t.Helper()
	var open, replies []*sent
	for _, s := range first {
		if s.by == "" || s.packet.Local() || !p.isUplink(s.way.Dev) {
			continue
		}
		r := &sent{packet: reference.Packet{IIF: s.way.Dev, Src: s.packet.Dst, Dst: s.packet.Src, Proto: s.packet.Proto,
			SPort: s.packet.DPort, DPort: s.packet.SPort, DSCP: s.packet.DSCP}}
		r.frame = s.out.Reply(p.nextID())
		r.packet.ICMPType = r.frame.ICMPType
		open, replies = append(open, s), append(replies, r)
	}
	p.send(replies)
	var answered []*sent
	for i, r := range replies {
		p.checked++
		devs := append(p.eval().Unclassified(r.packet), p.eval().Pinned(r.packet)...)
		if !p.isOneOf(r, devs) || (r.by != "" && !p.isUplink(p.ifaces[r.by]) && r.out.Dst != open[i].packet.Src) {
			p.fail(r, "answer", strings.Join(devs, ", or "))
		}
		if r.by != "" && p.ifaces[r.by] == open[i].packet.IIF {
			answered = append(answered, open[i])
		}
	}
	return answered
}

func (p *property) isOneOf(s *sent, devs []string) bool {
	for _, d := range devs {
		if d == p.ifaces[s.by] {
			return true
		}
	}
	return false
}

// laterPackets sends another packet of each connection, which has to leave as the first one did.
func (p *property) laterPackets(open []*sent) {
	p.t.Helper()
	var later []*sent
	for _, s := range open {
		l := *s
		l.frame.ID, l.frame.TCPFlags = p.nextID(), lab.TCPAck
		later = append(later, &l)
	}
	pinned := p.pins(later)
	p.send(later)
	p.checkExplained("later packet", later, pinned)
	for i, l := range later {
		p.checked++
		first := open[i]
		if l.by != first.by || l.out.Src != first.out.Src || l.out.SPort != first.out.SPort {
			p.fail(l, "later packet", fmt.Sprintf("%s with source %s, as the first one", first.way.Dev, first.out.Src))
		}
	}
}

// outsideConnections is how many connections each provider opens to hosts of the LAN.
const outsideConnections = 4

// fromOutside opens connections from the providers; the answers have to leave through the uplink
// that they arrived on.
func (p *property) fromOutside() {
	p.t.Helper()
	var in []*sent
	for _, u := range p.policy.Uplinks {
		for range outsideConnections {
			k := p.g.Packet()
			k.IIF, k.Src, k.Dst, k.Mark, k.DSCP = u.Interface, k.Dst, k.Src, 0, 0
			if !u.Carries(k.Dst.Is6()) || !p.isInternet(k.Src) || k.Proto == 50 {
				continue
			}
			in = append(in, &sent{packet: k, frame: lab.Packet{
				ID: p.nextID(), Src: k.Src, Dst: k.Dst, Proto: k.Proto, SPort: k.SPort, DPort: k.DPort,
				TCPFlags: lab.TCPSyn, ICMPType: k.ICMPType,
			}})
		}
	}
	p.send(in)
	p.checkExplained("connection from outside", in, nil)
	var back, came []*sent
	for _, s := range in {
		p.checked++
		devs := p.eval().Unclassified(s.packet)
		if !p.isOneOf(s, devs) {
			p.fail(s, "connection from outside", strings.Join(devs, ", or "))
		}
		if s.by == "" || p.isUplink(p.ifaces[s.by]) {
			continue // rules of the policy catch it before main's route to the LAN
		}
		r := &sent{packet: s.packet, frame: s.out.Reply(p.nextID())}
		r.packet.IIF, r.packet.Src, r.packet.Dst = p.ifaces[s.by], s.packet.Dst, s.packet.Src
		r.packet.SPort, r.packet.DPort = s.packet.DPort, s.packet.SPort
		r.frame.SrcMAC = [6]byte{}
		back, came = append(back, r), append(came, s)
	}
	p.send(back)
	for i, r := range back {
		p.checked++
		if p.ifaces[r.by] != came[i].packet.IIF || r.out.Src != came[i].packet.Dst {
			p.fail(r, "answer to a connection from outside", "back out of "+came[i].packet.IIF+" with source "+came[i].packet.Dst.String())
		}
	}
}

// isInternet reports whether main has no route to an address but its default one.
func (p *property) isInternet(a netip.Addr) bool {
	for _, prefixes := range p.host.Addrs {
		for _, n := range prefixes {
			if n.Contains(a) {
				return false
			}
		}
	}
	for _, r := range p.host.Main {
		if r.Dst.Bits() > 0 && r.Dst.Contains(a) {
			return false
		}
	}
	return true
}
