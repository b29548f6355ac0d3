package integration

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"pbr/compiler/layers"
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
