package routeros

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pbr/compiler"
	"pbr/compiler/from"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/integration/race"
)

// trip compares what RouterOS does with packets with what the imported policy does.
type trip struct {
	t      *testing.T
	text   string
	policy string
	ros    *ros
	router *walk.Router
	inside []string
	rand   *rand.Rand
	// compared counts packets, steered those that some choice of RouterOS's sends elsewhere than
	// main would.
	compared, steered int
}

// newTrip imports an export and compiles the policy; nil for one whose rules were not all carried
// over.
func newTrip(t *testing.T, text string, r *rand.Rand) *trip {
	t.Helper()
	result := importText(t, text, nil)
	doc, _ := parse(t, result.Policy)
	p, ds := compiler.Compile(doc, plan.HostFacts{}, nil)
	if p == nil {
		t.Fatalf("%v in\n%s", ds, result.Policy)
	}
	router, err := walk.NewRouter(p, &walk.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	x := &trip{t: t, text: text, policy: result.Policy, ros: &ros{all: all}, router: router, rand: r}
	for _, u := range doc.Uplinks {
		x.ros.uplinks = append(x.ros.uplinks, u.Interface)
	}
	for _, s := range x.ros.sections("ip address") {
		if iface := s.get("interface"); !slices.Contains(x.ros.uplinks, iface) {
			x.inside = append(x.inside, iface)
		}
	}
	return x
}

// addressPool has addresses at and around what the exports name.
func (x *trip) addresses(key string) (out []netip.Addr) {
	for _, s := range x.ros.all {
		text := strings.TrimPrefix(s.get(key), "!")
		if key != "src-address" && s.section == "ip firewall address-list" {
			text = s.get("address")
		}
		span, ok := addrSpan(text)
		if !ok || !span.From.Is4() || span.From.IsUnspecified() {
			continue
		}
		out = append(out, span.From, span.To, span.From.Prev(), span.To.Next())
	}
	return slices.DeleteFunc(out, func(a netip.Addr) bool { return !a.IsValid() || a.IsMulticast() || a.IsUnspecified() || a.IsLoopback() })
}

func (x *trip) pick(from []netip.Addr, usual string) netip.Addr {
	if len(from) == 0 || x.rand.IntN(3) == 0 {
		return netip.MustParseAddr(fmt.Sprintf(usual, x.rand.IntN(250)+2))
	}
	return from[x.rand.IntN(len(from))]
}

// packet is a random one, near what the rules ask for.
func (x *trip) packet() packet {
	p := packet{src: x.pick(append(x.addresses("src-address"), x.addresses("address")...), "192.168.10.%d"),
		dst:   x.pick(x.addresses("dst-address"), "9.9.9.%d"),
		proto: []int{6, 17, 6, 17, 1, 47}[x.rand.IntN(6)], sport: 1024 + x.rand.IntN(60000),
		dport: []int{53, 80, 443, 5060, 5061, 22, 20, 25, 8080}[x.rand.IntN(9)]}
	if len(x.inside) > 0 && x.rand.IntN(6) > 0 {
		p.in = x.inside[x.rand.IntN(len(x.inside))]
	}
	return p
}

// check compares one packet.
func (x *trip) check(p packet) bool {
	want := x.ros.ways(p)
	frame := &walk.Packet{IIF: p.in, Src: p.src, Dst: p.dst, Proto: uint8(p.proto), SPort: uint16(p.sport), DPort: uint16(p.dport)}
	if p.proto == 1 {
		frame.ICMPType = 8
	}
	var got []string
	for _, way := range x.router.First(frame) {
		if !slices.Contains(got, way.Dev) {
			got = append(got, way.Dev)
		}
	}
	x.compared++
	if !slices.Equal(want, x.ros.lookup("main", p)) {
		x.steered++
	}
	for _, dev := range got {
		if !slices.Contains(want, dev) && !(dev == "" && len(want) == 0) {
			x.t.Errorf("%+v leaves through %q, in RouterOS by %q\n%s\n%s", p, got, want, x.text, x.policy)
			return false
		}
	}
	return true
}

// The exports of the fixtures and what came of them send 10,000 packets the same ways.
func TestRoundTripOfFixtures(t *testing.T) {
	cases, _ := filepath.Glob(fixtures + "/*/export.rsc")
	r := rand.New(rand.NewPCG(1, 2))
	compared, steered := 0, 0
	for _, path := range cases {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !walkable(string(text)) {
			continue
		}
		x := newTrip(t, string(text), r)
		for range 800 {
			if !x.check(x.packet()) {
				break
			}
		}
		compared, steered = compared+x.compared, steered+x.steered
	}
	if compared < 10_000 || steered < 2_000 {
		t.Errorf("%d packets compared, %d of them steered", compared, steered)
	}
	t.Logf("%d packets, %d steered", compared, steered)
}

// walkable reports whether the small evaluator knows all that an export uses.
func walkable(text string) bool {
	for _, word := range []string{"dhcp-client", "pppoe-client", "lookup-only", "blackhole", "in-interface-list",
		"/ipv6", "action=drop", "name=wan1\n", "\r", "dscp=", "example.com", "/ip vrf"} {
		if strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// generator writes random exports: two or three providers, chains that jump, marks that are set and
// asked for in any order.
type generator struct{ *rand.Rand }

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g generator) export() string {
	var b strings.Builder
	b.WriteString("/ip address\nadd address=192.0.2.2/24 interface=wan1\n" +
		"add address=198.51.100.2/24 interface=wan2\nadd address=203.0.113.2/24 interface=wan3\n" +
		"add address=192.168.10.1/24 interface=lan1\nadd address=192.168.20.1/24 interface=lan2\n" +
		"/ip firewall address-list\nadd address=192.168.10.64/26 list=some\nadd address=192.168.20.7 list=some\n" +
		"add address=9.9.9.0/25 list=far\n" +
		"/ip route\nadd gateway=192.0.2.1\nadd gateway=192.0.2.1 routing-mark=r1\n" +
		"add gateway=198.51.100.1 routing-mark=r2\nadd gateway=203.0.113.1 routing-mark=r3\n/ip firewall mangle\n")
	for range 1 + g.IntN(9) {
		b.WriteString("add chain=" + g.one("prerouting", "prerouting", "prerouting", "a", "b", "output") + g.rule() + "\n")
	}
	if g.IntN(3) > 0 {
		for n := range 3 {
			fmt.Fprintf(&b, "add chain=prerouting action=mark-routing connection-mark=c%d new-routing-mark=r%d%s%s\n",
				n+1, n+1, g.one("", " passthrough=no"), g.one("", " in-interface=lan1"))
		}
	}
	return b.String()
}

func (g generator) rule() string {
	s := ""
	switch g.IntN(8) {
	case 0, 1, 2:
		s = " action=mark-connection new-connection-mark=" + g.one("c1", "c2", "c3") + g.one("", "", " passthrough=yes", " passthrough=no")
		s += g.one("", " connection-mark=no-mark", " connection-state=new", " connection-mark=no-mark connection-state=new")
	case 3, 4:
		n := g.one("1", "2", "3")
		s = " action=mark-routing new-routing-mark=r" + n + g.one("", " passthrough=no", " passthrough=no") + g.one("",
			" connection-mark=c"+n, " connection-mark=c"+n, " connection-mark=!c1")
	case 5:
		s = " action=accept" + g.one("", " connection-state=established,related", " connection-mark=c1", " connection-mark=!no-mark")
	case 6:
		s = " action=jump jump-target=" + g.one("a", "a", "b") + g.one("", " connection-state=new", " connection-mark=no-mark")
	case 7:
		s = " action=return"
	}
	return s + g.one("", " in-interface=lan1", " in-interface=!lan2", " in-interface=wan1") +
		g.one("", "", " src-address=192.168.10.0/25", " src-address=!192.168.20.7", " src-address-list=some", " src-address-list=!some") +
		g.one("", "", "", " dst-address=9.9.9.9", " dst-address-list=!far") + g.one("", "",
		" protocol=tcp dst-port=80,443", " protocol=udp port=53,5060-5061", " protocol=!tcp")
}

// Exports at random, rule by rule as RouterOS and as policies.
func TestRoundTripAtRandom(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 3))
	g := generator{r}
	exports, compared, steered := 0, 0, 0
	for exports < race.Cases(400) && !t.Failed() {
		text := g.export()
		if mazy(text) {
			continue
		}
		if !whole(importText(t, text, nil).Statements) {
			continue
		}
		exports++
		x := newTrip(t, text, r)
		for range 40 {
			if !x.check(x.packet()) {
				break
			}
		}
		compared, steered = compared+x.compared, steered+x.steered
	}
	if steered < compared/50 {
		t.Errorf("of %d packets %d were steered", compared, steered)
	}
	t.Logf("seed %d: %d exports, %d packets, %d steered", seed, exports, compared, steered)
}

// mazy reports whether chains lead back to each other, which RouterOS cannot run.
func mazy(text string) bool {
	loops := func(chain, target string) bool {
		for line := range strings.SplitSeq(text, "\n") {
			if strings.Contains(line, "chain="+chain+" ") && strings.Contains(line, "jump-target="+target) {
				return true
			}
		}
		return false
	}
	return loops("a", "a") || loops("b", "b") || loops("a", "b") && loops("b", "a")
}

// whole reports whether all rules that have to do with routing were carried over.
func whole(all []*from.Statement) bool {
	return !slices.ContainsFunc(all, func(s *from.Statement) bool { return strings.Contains(s.Note(), "cannot be joined") })
}
