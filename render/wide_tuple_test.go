package render

import (
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// The types of keys of several fields.
var (
	layerTypes = []plan.Type{plan.TypeIPv4, plan.TypeIPv4, plan.TypeProto, plan.TypePort}
	exactTypes = []plan.Type{plan.TypeIfname, plan.TypeIPv6, plan.TypeMark, plan.TypeUID, plan.TypeEther}
	shapeTypes = []plan.Type{plan.TypeIPv4, plan.TypeIPv4}
)

func spanOf(e plan.Element) plan.Span { return plan.Span{From: e.From, To: e.To} }

// tupleSets has maps of several fields, with intervals and without.
func tupleSets() []plan.Set {
	ifname := plan.KeyFromString("br-lan")
	mac := plan.KeyFromMAC([6]byte{2, 0, 0, 0, 0, 1})
	return []plan.Set{
		{Name: "z-exact", Concat: exactTypes, Map: true,
			Tuples: []plan.Tuple{plan.PackTuple(exactTypes, []plan.Span{{From: ifname, To: ifname},
				spanOf(addrSpan("fd00::1", "fd00::1")), spanOf(span(plan.TypeMark, 0x12000000, 0x12000000)),
				spanOf(span(plan.TypeUID, 33, 33)), {From: mac, To: mac}}, "first")}},
		{Name: "z-layer", Concat: layerTypes, Map: true, Interval: true, Comment: "layer 0", Tuples: []plan.Tuple{
			plan.PackTuple(layerTypes, []plan.Span{spanOf(addrSpan("10.0.0.0", "10.255.255.255")), plan.AllOf(plan.TypeIPv4),
				spanOf(span(plan.TypeProto, 6, 6)), plan.AllOf(plan.TypePort)}, "first"),
			plan.PackTuple(layerTypes, []plan.Span{spanOf(addrSpan("10.0.0.0", "10.255.255.255")),
				spanOf(addrSpan("192.0.2.1", "192.0.2.7")),
				spanOf(span(plan.TypeProto, 17, 17)), spanOf(span(plan.TypePort, 53, 60))}, "mark-isp1")}},
		{Name: "z-shape", Concat: shapeTypes, Map: true, Tuples: []plan.Tuple{
			plan.PackTuple(shapeTypes, []plan.Span{spanOf(addrSpan("10.0.0.0", "10.0.0.0")),
				spanOf(addrSpan("10.0.16.0", "10.0.16.0"))}, "first")}},
		{Name: "z-shape-1", Type: plan.TypeIPv6, Map: true,
			Elements: []plan.Element{{From: key("fd00::"), To: key("fd00::"), Goto: "first"}}},
	}
}

// tupleCases has the look-ups in them.
func tupleCases() []ruleCase {
	several := func(set string, fields ...plan.Field) plan.ConcatVMap {
		a := plan.ConcatVMap{Set: set}
		copy(a.Fields[:], fields)
		return a
	}
	v4, v6 := num(plan.FieldNFProto, 2, 2), num(plan.FieldNFProto, 10, 10)
	shape := several("z-shape", plan.FieldIPSAddr, plan.FieldIPDAddr)
	shape.Prefixes = [5]uint8{24, 20}
	half := several("z-shape", plan.FieldIPSAddr, plan.FieldIPDAddr)
	half.Prefixes[1] = 20
	return []ruleCase{
		{"meta nfproto ipv4 ip saddr . ip daddr . meta l4proto . th dport vmap @z-layer",
			"ip saddr . ip daddr . meta l4proto . th dport vmap @z-layer",
			rule(ms(v4), several("z-layer", plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldL4Proto, plan.FieldDPort))},
		{"meta nfproto ipv4 (ip saddr and 255.255.255.0) . (ip daddr and 255.255.240.0) vmap @z-shape",
			"ip saddr & 255.255.255.0 . ip daddr & 255.255.240.0 vmap @z-shape", rule(ms(v4), shape)},
		{"meta nfproto ipv4 ip saddr . (ip daddr and 255.255.240.0) vmap @z-shape",
			"ip saddr . ip daddr & 255.255.240.0 vmap @z-shape", rule(ms(v4), half)},
		{"meta nfproto ipv6 iifname . ip6 saddr . meta mark . meta skuid . ether saddr vmap @z-exact",
			"iifname . ip6 saddr . meta mark . meta skuid . ether saddr vmap @z-exact",
			rule(ms(v6), several("z-exact", plan.FieldIIFName, plan.FieldIP6SAddr, plan.FieldMark, plan.FieldSKUID, plan.FieldEtherSAddr))},
		{"meta nfproto ipv6 ip6 saddr and ffff:: vmap @z-shape-1", "ip6 saddr & ffff:: vmap @z-shape-1",
			rule(ms(v6), plan.VMap{Field: plan.FieldIP6SAddr, Prefix: 16, Set: "z-shape-1"})},
	}
}

func TestTupleDiff(t *testing.T) {
	have, want := tupleSets()[1], tupleSets()[1]
	want.Tuples = append([]plan.Tuple{}, want.Tuples...)
	want.Tuples[1].Goto = "first"
	other := tupleSets()[2]
	p := func(sets ...plan.Set) *plan.Plan { return &plan.Plan{Ruleset: plan.Ruleset{Sets: sets}} }
	var b strings.Builder
	if err := Diff(&b, p(have), p(want, other), plan.Diff(p(have), p(want, other)), false); err != nil {
		t.Fatal(err)
	}
	const wanted = `--- live
+++ planned
@@ table inet pbr map z-layer @@
-10.0.0.0/8 . 192.0.2.1-192.0.2.7 . udp . 53-60 : goto mark-isp1
+10.0.0.0/8 . 192.0.2.1-192.0.2.7 . udp . 53-60 : goto first
@@ table inet pbr map z-shape @@
+type ipv4_addr . ipv4_addr : verdict
+10.0.0.0 . 10.0.16.0 : goto first
`
	if b.String() != wanted {
		t.Errorf("got\n%s\nwant\n%s", b.String(), wanted)
	}
}

func TestTupleViews(t *testing.T) {
	t.Run("elements", func(t *testing.T) {
		v := viewSet(&tupleSets()[1])
		if v.Type != "ipv4_addr . ipv4_addr . inet_proto . inet_service" || len(v.Elements) != 2 ||
			v.Elements[1] != (elementView{Value: "10.0.0.0/8 . 192.0.2.1-192.0.2.7 . udp . 53-60", Goto: "mark-isp1"}) {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("a look-up of prefixes", func(t *testing.T) {
		a := viewAction(tupleCases()[1].rule.Actions[0])
		if strings.Join(a.Fields, ",") != "ip saddr,ip daddr" || len(a.Prefixes) != 2 || a.Prefixes[0] != 24 ||
			a.Map != "z-shape" || a.Field != "" {
			t.Errorf("got %+v", a)
		}
	})
}
