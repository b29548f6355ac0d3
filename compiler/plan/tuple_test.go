package plan

import (
	"net/netip"
	"slices"
	"testing"
)

var tupleTypes = []Type{TypeIfname, TypeIPv4, TypeProto, TypePort, TypeMark}

func testTuple(chain string, port uint16) Tuple {
	one := func(k Key) Span { return Span{From: k, To: k} }
	return PackTuple(tupleTypes,
		[]Span{one(KeyFromString("eth0")), {From: KeyFromAddr(netip.MustParseAddr("10.0.0.0")),
			To: KeyFromAddr(netip.MustParseAddr("10.255.255.255"))},
			one(KeyFromUint8(6)), one(KeyFromUint16(port)), AllOf(TypeMark)}, chain)
}

func TestTuplesAreWhatTheKernelHas(t *testing.T) {
	e := testTuple("m1", 53)
	const head = "eth0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	want := Tuple{From: head + "\x0a\x00\x00\x00" + "\x06\x00\x00\x00" + "\x00\x35\x00\x00" + "\x00\x00\x00\x00",
		To: head + "\x0a\xff\xff\xff" + "\x06\x00\x00\x00" + "\x00\x35\x00\x00" + "\xff\xff\xff\xff", Goto: "m1"}
	if e != want || len(e.From) != TupleWidth(tupleTypes) {
		t.Errorf("got %q, want %q", e, want)
	}
	if again := PackTuple(tupleTypes, e.Spans(tupleTypes), "m1"); again != e {
		t.Errorf("unpacked and packed it is %q, not %q", again, e)
	}
	e.From = e.From[:18]
	if got := e.Spans(tupleTypes)[4]; got != (Span{To: MaxKey(TypeMark)}) {
		t.Errorf("what is missing reads as %v", got)
	}
}

func TestDiffTuples(t *testing.T) {
	set := func(tuples ...Tuple) *Plan {
		p := &Plan{Ruleset: Ruleset{Sets: []Set{{Name: "s", Concat: tupleTypes, Interval: true, Map: true, Tuples: tuples}}}}
		Normalize(p)
		return p
	}
	a, b, c, b2 := testTuple("m1", 1), testTuple("m1", 2), testTuple("m1", 3), testTuple("m2", 2)
	got := Diff(set(b, a), set(c, b2, a)).Sets
	if len(got) != 1 || got[0].Rebuild || !slices.Equal(got[0].RemoveTuples, []Tuple{b}) ||
		!slices.Equal(got[0].AddTuples, []Tuple{b2, c}) {
		t.Errorf("got %+v", got)
	}
	if !Diff(set(a, b), set(b, a)).Empty() {
		t.Error("order counts")
	}
	other := set(a)
	other.Ruleset.Sets[0].Concat = append(slices.Clone(tupleTypes[:4]), TypeUID)
	if got := Diff(set(a), other).Sets; len(got) != 1 || !got[0].Rebuild {
		t.Errorf("another type: %+v", got)
	}
}
