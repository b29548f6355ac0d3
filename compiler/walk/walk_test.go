package walk

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

func addr(s string) plan.Key { return plan.KeyFromAddr(netip.MustParseAddr(s)) }

func one(k plan.Key) plan.Span { return plan.Span{From: k, To: k} }

func between(from, to string) plan.Span { return plan.Span{From: addr(from), To: addr(to)} }

func is(f plan.Field, k plan.Key) plan.Match { return plan.Match{Field: f, From: k, To: k} }

func in(f plan.Field, set string) plan.Match { return plan.Match{Field: f, Set: set} }

func not(m plan.Match) plan.Match {
	m.Not = true
	return m
}

func doing(ms []plan.Match, as ...plan.Action) plan.ChainRule {
	return plan.ChainRule{Matches: ms, Actions: as}
}

func ms(m ...plan.Match) []plan.Match { return m }

var (
	accept = plan.Accept{}
	drop   = plan.Drop{}
	proto  = plan.KeyFromUint8
	port   = plan.KeyFromUint16
)

func gotoChain(name string) plan.Action { return plan.Goto{Chain: name} }

func jumpTo(name string) plan.Action { return plan.Jump{Chain: name} }

func count(name string) plan.Action { return plan.Count{Counter: name} }

var layerTypes = []plan.Type{plan.TypeIPv4, plan.TypeProto, plan.TypePort}

// router is a table of all that a walk can meet.
func router() *plan.Ruleset {
	layer := plan.ConcatVMap{Set: "layer", Fields: plan.FieldList{plan.FieldIPSAddr, plan.FieldL4Proto, plan.FieldDPort}}
	shape := plan.ConcatVMap{Set: "shape", Fields: plan.FieldList{plan.FieldIPSAddr, plan.FieldIPDAddr}}
	shape.Prefixes[0] = 24
	return &plan.Ruleset{
		Counters: []plan.Counter{{Name: "web"}, {Name: "voip"}},
		Sets: []plan.Set{
			{Name: "clients", Type: plan.TypeIPv4, Map: true, Data: plan.TypeMark, Dynamic: true, Size: 1},
			{Name: "ifs", Type: plan.TypeIfname,
				Elements: []plan.Element{{From: plan.KeyFromString("eth1"), To: plan.KeyFromString("eth1")}}},
			{Name: "layer", Concat: layerTypes, Interval: true, Map: true, Tuples: []plan.Tuple{
				plan.PackTuple(layerTypes, []plan.Span{between("10.0.0.0", "10.0.0.255"), one(proto(6)), plan.AllOf(plan.TypePort)}, "web"),
				plan.PackTuple(layerTypes, []plan.Span{between("10.0.0.0", "10.0.0.255"), one(proto(17)),
					{From: port(5060), To: port(5061)}}, "voip")}},
			{Name: "marks", Type: plan.TypeMark, Map: true,
				Elements: []plan.Element{{From: plan.KeyFromUint32(0x1000000), To: plan.KeyFromUint32(0x1000000), Goto: "voip"}}},
			{Name: "nets", Type: plan.TypeIPv4, Interval: true, Elements: []plan.Element{
				{From: addr("10.0.0.0"), To: addr("10.0.0.255")}, {From: addr("10.2.0.0"), To: addr("10.2.0.0")},
				{From: addr("255.0.0.0"), To: addr("255.255.255.255")}}},
			{Name: "shape", Concat: []plan.Type{plan.TypeIPv4, plan.TypeIPv4}, Map: true, Tuples: []plan.Tuple{
				plan.PackTuple([]plan.Type{plan.TypeIPv4, plan.TypeIPv4},
					[]plan.Span{one(addr("10.1.1.0")), one(addr("192.0.2.1"))}, "voip")}},
			{Name: "turns", Type: plan.TypeNumber, Map: true, Elements: []plan.Element{
				{From: plan.KeyFromUint32(0), To: plan.KeyFromUint32(0), Goto: "mark1", Jump: true},
				{From: plan.KeyFromUint32(1), To: plan.KeyFromUint32(1), Goto: "voip"}}},
		},
		Chains: []plan.Chain{
			{Name: "mark1", Rules: []plan.ChainRule{doing(nil, plan.SetMark{Mask: 0xff000000, Value: 0x1000000})}},
			{Name: "web", Rules: []plan.ChainRule{doing(nil, count("web"), jumpTo("mark1")), doing(nil, accept)}},
			{Name: "voip", Rules: []plan.ChainRule{doing(nil, count("voip"), plan.SetCTMark{Mask: 0xff000000, Value: 0x2000000})}},
			{Name: "classify", Rules: []plan.ChainRule{
				doing(ms(in(plan.FieldIIFName, "ifs")), drop),
				doing(ms(is(plan.FieldNFProto, proto(2))), layer),
				doing(ms(is(plan.FieldNFProto, proto(2))), shape),
				doing(ms(not(in(plan.FieldIPSAddr, "nets")), is(plan.FieldL4Proto, proto(47))), drop),
				doing(nil, plan.VMap{Field: plan.FieldMark, Mask: 0xff000000, Set: "marks"}),
			}},
			{Name: "pre", Hook: "prerouting", Kind: "filter", Rules: []plan.ChainRule{
				doing(ms(not(plan.Match{Field: plan.FieldCTState, Mask: 8})), jumpTo("classify")),
				doing(ms(not(plan.Match{Field: plan.FieldCTMark, Mask: 0xff000000})), accept)}},
			{Name: "balance", Rules: []plan.ChainRule{doing(nil, plan.CycleVMap{Mod: 2, Set: "turns"}), doing(nil, count("web"))}},
			{Name: "recall", Rules: []plan.ChainRule{
				doing(ms(is(plan.FieldNFProto, proto(2))), plan.RecallCTMark{Field: plan.FieldIPSAddr, Prefix: 24, Set: "clients"}, drop),
				doing(ms(is(plan.FieldNFProto, proto(2))), plan.Remember{Field: plan.FieldIPSAddr, Prefix: 24,
					Mask: 0xff000000, Set: "clients", Timeout: 1}, count("web"))}},
			{Name: "icmp", Rules: []plan.ChainRule{doing(ms(is(plan.FieldICMPType, proto(8))), drop),
				doing(ms(not(is(plan.FieldICMPv6Type, proto(135)))), accept)}},
		},
	}
}

func TestWalk(t *testing.T) {
	e, err := New(router())
	if err != nil {
		t.Fatal(err)
	}
	lan := func(src string, p uint8, dport uint16) Packet {
		return Packet{IIF: "br-lan", Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr("192.0.2.1"), Proto: p,
			DPort: dport, CTState: StateNew}
	}
	with := func(p Packet, change func(*Packet)) Packet {
		change(&p)
		return p
	}
	for _, c := range []struct {
		name, chain string
		p           Packet
		verdict     Verdict
		mark, ct    uint32
		counters    string
	}{
		{"in a layer", "pre", lan("10.0.0.9", 6, 443), Accepted, 0x1000000, 0, "web"},
		{"bits of others stay", "pre", with(lan("10.0.0.9", 6, 443), func(p *Packet) { p.Mark = 0x42 }), Accepted, 0x1000042, 0, "web"},
		{"last port of a range", "pre", lan("10.0.0.255", 17, 5061), Accepted, 0, 0x2000000, "voip"},
		{"port after it", "pre", lan("10.0.0.255", 17, 5062), Ended, 0, 0, ""},
		{"address after the prefix", "pre", lan("10.0.1.0", 6, 443), Ended, 0, 0, ""},
		{"under a prefix", "pre", lan("10.1.1.77", 6, 443), Accepted, 0, 0x2000000, "voip"},
		{"under another prefix", "pre", lan("10.1.2.77", 6, 443), Ended, 0, 0, ""},
		{"no ports, so the look-up ends the rule", "pre",
			with(lan("10.0.0.9", 6, 0), func(p *Packet) { p.NoPorts = true }), Ended, 0, 0, ""},
		{"not new", "pre", with(lan("10.0.0.9", 6, 443), func(p *Packet) { p.CTState = StateEstablished }), Ended, 0, 0, ""},
		{"not tracked: no mark to look at or to set", "pre",
			with(lan("10.0.0.9", 17, 5060), func(p *Packet) {
				p.CTState, p.CTMark = StateNew|StateUntracked,
					0x2000000
			}), Ended, 0, 0x2000000, "voip"},
		{"arriving from eth1", "classify", with(lan("10.0.0.9", 6, 443), func(p *Packet) { p.IIF = "eth1" }), Dropped, 0, 0, ""},
		{"outside of all networks", "classify", lan("11.0.0.1", 47, 0), Dropped, 0, 0, ""},
		{"the highest address", "classify", lan("255.255.255.255", 47, 0), Ended, 0, 0, ""},
		{"a negated match on an address that IPv6 has not", "classify", lan("fd00::1", 47, 0), Ended, 0, 0, ""},
		{"marked already", "classify", with(lan("fd00::1", 6, 0), func(p *Packet) { p.Mark = 0x1000005 }), Ended,
			0x1000005, 0x2000000, "voip"},
		{"ping", "icmp", with(lan("10.0.0.1", 1, 0), func(p *Packet) { p.ICMPType = 8 }), Dropped, 0, 0, ""},
		{"ping6", "icmp", with(lan("fd00::1", 58, 0), func(p *Packet) { p.ICMPType = 128 }), Accepted, 0, 0, ""},
		{"neighbour", "icmp", with(lan("fd00::1", 58, 0), func(p *Packet) { p.ICMPType = 135 }), Ended, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := e.Walker().Walk(c.chain, &c.p)
			if err != nil || r.Verdict != c.verdict || r.Mark != c.mark || r.CTMark != c.ct ||
				strings.Join(r.Counters, ",") != c.counters || r.Steps != nil {
				t.Errorf("%s: %+v, %v", c.name, r, err)
			}
		})
	}
	if _, err := e.Walker().Walk("gone", &Packet{}); err == nil {
		t.Error("there is no such chain")
	}
}

func TestTrace(t *testing.T) {
	e, err := New(router())
	if err != nil {
		t.Fatal(err)
	}
	p := Packet{Src: netip.MustParseAddr("10.1.1.7"), Dst: netip.MustParseAddr("192.0.2.1"), Proto: 6, CTState: StateNew}
	r, err := e.Walker().Trace("pre", &p)
	want := []Step{{Chain: "pre", Element: -1, Next: "classify", Whole: true}, {Chain: "classify", Rule: 1, Set: "layer", Element: -1},
		{Chain: "classify", Rule: 2, Set: "shape", Next: "voip", Whole: true},
		{Chain: "voip", Element: -1, Whole: true}, {Chain: "pre", Rule: 1, Element: -1, Whole: true}}
	if err != nil || !slices.Equal(r.Steps, want) {
		t.Errorf("steps %+v, %v", r.Steps, err)
	}
}

func TestWhatPacketsLeaveBehind(t *testing.T) {
	e, err := New(router())
	if err != nil {
		t.Fatal(err)
	}
	w := e.Walker()
	walk := func(t *testing.T, chain, src string, mark uint32) Result {
		t.Helper()
		r, err := w.Walk(chain, &Packet{Src: netip.MustParseAddr(src), Mark: mark, CTState: StateNew})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i, counters := range []string{"web", "voip", "web", "voip"} {
		t.Run(counters, func(t *testing.T) {
			if r := walk(t, "balance", "10.0.0.1", 0); strings.Join(r.Counters, ",") != counters {
				t.Errorf("turn %d: %+v", i, r)
			}
		})
	}
	if r := walk(t, "recall", "10.0.0.1", 0x7000001); len(r.Counters) != 1 || r.CTMark != 0 {
		t.Errorf("first: %+v", r)
	}
	if r := walk(t, "recall", "10.0.0.200", 0x8000000); r.Verdict != Dropped || r.CTMark != 0x7000000 {
		t.Errorf("same network: %+v", r)
	}
	if r := walk(t, "recall", "10.0.1.1", 0x7000000); len(r.Counters) != 0 {
		t.Errorf("the map is full: %+v", r)
	}
	if r, err := e.Walker().Walk("recall", &Packet{Src: netip.MustParseAddr("10.0.0.1"),
		CTState: StateNew}); err != nil || len(r.Counters) != 1 {
		t.Errorf("another walker knows the client: %+v, %v", r, err)
	}
}

// The evaluator has to know every action of the vocabulary.
func TestEveryActionIsKnown(t *testing.T) {
	for _, a := range plan.ActionTypes() {
		r := &plan.Ruleset{Chains: []plan.Chain{{Name: "c", Rules: []plan.ChainRule{doing(nil, a)}}}}
		if _, err := New(r); err != nil && strings.Contains(err.Error(), "unknown action") {
			t.Error(err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*plan.Ruleset)
		want string
	}{
		"unknown set": {func(r *plan.Ruleset) { r.Chains[0].Rules[0].Matches = ms(in(plan.FieldIPSAddr, "gone")) },
			"chain mark1: rule 1: set \"gone\""},
		"set of ports":    {func(r *plan.Ruleset) { r.Chains[0].Rules[0].Matches = ms(in(plan.FieldSPort, "nets")) }, "of another type"},
		"unknown chain":   {func(r *plan.Ruleset) { r.Chains[0].Rules[0].Actions[0] = gotoChain("gone") }, `chain "gone"`},
		"unknown counter": {func(r *plan.Ruleset) { r.Chains[0].Rules[0].Actions[0] = count("gone") }, `counter "gone"`},
		"unknown target":  {func(r *plan.Ruleset) { r.Sets[5].Tuples[0].Goto = "gone" }, "set shape: element 0"},
		"loop":            {func(r *plan.Ruleset) { r.Chains[0].Rules[0].Actions[0] = gotoChain("pre") }, "leads back to itself"},
		"loop by a map":   {func(r *plan.Ruleset) { r.Sets[5].Tuples[0].Goto = "pre" }, "leads back to itself"},
		"foreign rule":    {func(r *plan.Ruleset) { r.Chains[0].Rules[0] = plan.ChainRule{Foreign: "[ quota ]"} }, "[ quota ]"},
		"fields of another map": {func(r *plan.Ruleset) {
			layer := r.Chains[3].Rules[1].Actions[0].(plan.ConcatVMap)
			layer.Set = "shape"
			r.Chains[3].Rules[1].Actions[0] = layer
		},
			"the keys of map shape are ipv4_addr . ipv4_addr"},
		"overlapping intervals": {func(r *plan.Ruleset) { r.Sets[4].Elements[1].From = addr("10.0.0.255") }, "elements 0 and 1 overlap"},
		"overlapping tuples": {func(r *plan.Ruleset) {
			r.Sets[2].Tuples[1] = plan.PackTuple(layerTypes,
				[]plan.Span{one(addr("10.0.0.7")), plan.AllOf(plan.TypeProto), one(port(1))}, "web")
		}, "set layer: elements 0 and 1 overlap"},
		"numbers by an address": {func(r *plan.Ruleset) {
			r.Chains[0].Rules[0].Actions[0] = plan.VMap{Field: plan.FieldIPSAddr, Set: "turns"}
		}, "map \"turns\""},
		"no modulus": {func(r *plan.Ruleset) { r.Chains[5].Rules[0].Actions[0] = plan.CycleVMap{Set: "turns"} }, "map \"turns\""},
	} {
		t.Run(name, func(t *testing.T) {
			r := router()
			c.edit(r)
			if _, err := New(r); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestHash compares with what Jenkins' lookup3 gives for the strings of its own self test
// (lookup3.c, driver5).
func TestHash(t *testing.T) {
	t.Run("of nothing", func(t *testing.T) {
		if got := jhash(nil, 1); got != 0xdeadbef0 {
			t.Errorf("of nothing: %#x", got)
		}
	})
	text := wordwise("Four score and seven years ago")
	t.Run("of thirty bytes", func(t *testing.T) {
		if got := jhash(text, 0); got != 0x17770551 {
			t.Errorf("of thirty bytes: %#x", got)
		}
	})
	t.Run("of thirty bytes, with a seed", func(t *testing.T) {
		if got := jhash(text, 1); got != 0xcd628161 {
			t.Errorf("of thirty bytes, with a seed: %#x", got)
		}
	})
}

// wordwise puts the words that the kernel reads in the machine's order, all but those of the last
// twelve bytes, into it: with them every machine computes with the same numbers.
func wordwise(text string) []byte {
	b := []byte(text)
	blocks := (len(b) - 1) / 12 * 12
	for at := 0; at < blocks; at += 4 {
		binary.NativeEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:]))
	}
	return b
}
