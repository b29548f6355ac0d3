//go:build linux

package nft

import (
	"fmt"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// wideEncoder encodes rules over the sets of the wide table.
func wideEncoder() *ruleEncoder {
	r, _ := wide()
	return &ruleEncoder{sets: setsByName(r.Sets)}
}

func TestDecodeIsTheOppositeOfEncode(t *testing.T) {
	e := wideEncoder()
	for _, s := range append(statements, natStatements...) {
		t.Run(s.text, func(t *testing.T) {
			s.rule.Comment = "policy x"
			var w writer
			if err := e.ruleAttrs(&w, &s.rule); err != nil {
				t.Fatalf("%s: %v", s.text, err)
			}
			got := e.decodeRule(attr(w.b, unix.NFTA_RULE_EXPRESSIONS), attr(w.b, unix.NFTA_RULE_USERDATA))
			if !got.Equal(&s.rule) {
				t.Errorf("%s:\n got %+v\nwant %+v", s.text, got, s.rule)
			}
		})
	}
}

// TestEveryAction keeps the statements complete: what a plan can have is encoded, decoded, and kept
// in snapshots.
func TestEveryAction(t *testing.T) {
	cases := map[reflect.Type]plan.Action{reflect.TypeFor[plan.Offload](): plan.Offload{Flowtable: "flows"}}
	for _, a := range queues {
		cases[reflect.TypeOf(a)] = a
	}
	for _, s := range append(statements, natStatements...) {
		for _, a := range s.rule.Actions {
			cases[reflect.TypeOf(a)] = a
		}
	}
	for _, a := range plan.ActionTypes() {
		t.Run(fmt.Sprintf("%T", a), func(t *testing.T) {
			want := cases[reflect.TypeOf(a)]
			if want == nil {
				t.Errorf("no statement has %T", a)
				return
			}
			var p packer
			p.action(want)
			u := unpacker{b: p.b}
			if got := u.action(); got != want || u.bad || len(u.b) > 0 {
				t.Errorf("%#v comes out of a snapshot as %#v", want, got)
			}
		})
	}
}

// reordered writes a rule's expressions with the attributes of each in reverse, and padding before
// limits' numbers, as machines that cannot read unaligned numbers have it.
func reordered(raw []byte, extra bool) []byte {
	var e exprs
	for _, x := range splitExprs(raw) {
		at := e.begin(x.name)
		list := x.sorted()
		for i := len(list) - 1; i >= 0; i-- {
			if x.name == "limit" {
				e.bytes(unix.NFTA_LIMIT_PAD, nil)
			}
			e.bytes(list[i].typ, list[i].value)
		}
		if extra {
			e.u32(200, 1)
		}
		e.end(at)
	}
	return e.b
}

func TestDecodeMindsNeitherOrderNorPaddingButEverythingElse(t *testing.T) {
	e := wideEncoder()
	for _, s := range statements {
		t.Run(s.text, func(t *testing.T) {
			if err := e.encodeExprs(&s.rule); err != nil {
				t.Fatal(err)
			}
			other, strange := reordered(e.b, false), reordered(e.b, true)
			if got := e.decodeRule(other, nil); !got.Equal(&plan.ChainRule{Matches: s.rule.Matches, Actions: s.rule.Actions}) {
				t.Errorf("%s reordered: %+v", s.text, got)
			}
			if got := e.decodeRule(strange, nil); got.Foreign == "" {
				t.Errorf("%s with an unknown attribute is taken for ours", s.text)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	long := make([]byte, 128)
	for name, r := range map[string]plan.ChainRule{
		"unknown field":                 accepted(is(99, plan.Key{})),
		"no field":                      accepted(is(0, plan.Key{})),
		"unknown action":                doing(nil),
		"unknown map field":             doing(plan.VMap{Field: 99, Set: "marks"}),
		"unknown set":                   accepted(in(plan.FieldIPSAddr, "gone")),
		"range under mask":              accepted(plan.Match{Field: plan.FieldMark, Mask: testMask, From: u32(1), To: u32(2)}),
		"address map before the family": doing(plan.VMap{Field: plan.FieldIPSAddr, Set: "v4"}),
		"fields before the family":      doing(several("t4", plan.FieldIPSAddr, plan.FieldSPort)),
		"too few fields":                inFamily(2, several("t4", plan.FieldIPSAddr)),
		"one field too many":            inFamily(2, several("t4", plan.FieldIPSAddr, plan.FieldSPort, plan.FieldDPort)),
		"field of another type":         inFamily(2, several("t4", plan.FieldIPSAddr, plan.FieldL4Proto)),
		"prefix of a port": inFamily(2, plan.ConcatVMap{Set: "t4", Fields: hashOf(plan.FieldIPSAddr, plan.FieldSPort),
			Prefixes: [5]uint8{0, 8}}),
		"snat to nothing": doing(plan.SNAT{}),
		"long comment":    {Comment: string(long)},
		"foreign":         {Foreign: "[ x ]"},
	} {
		t.Run(name, func(t *testing.T) {
			var w writer
			if err := wideEncoder().ruleAttrs(&w, &r); err == nil {
				t.Errorf("%s is encoded", name)
			}
		})
	}
}

// TestIntervalsWithoutEnds makes a set whose intervals end only where the next begins, as the
// kernel allows.
func TestIntervalsWithoutEnds(t *testing.T) {
	n := newNetns(t)
	want := small()
	want.Sets[0].Elements = nil
	live := n.apply(want)
	b := newBatch(live.Generation)
	plain := want.Sets[0]
	plain.Interval = false // writes starts alone
	b.elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, plain.Name, &plain,
		[]plan.Element{el(addr("10.0.1.0")), el(addr("10.0.0.0"))}, nil)
	if _, err := n.conn.commit(b); err != nil {
		t.Fatal(err)
	}
	live = n.read()
	got := live.Ruleset.Sets[0].Elements
	if len(got) != 2 || got[0] != span(addr("10.0.0.0"), addr("10.0.0.255")) || got[1] != span(addr("10.0.1.0"), addr("255.255.255.255")) {
		t.Fatalf("elements %v", got)
	}
	if live.Snapshot() != nil {
		t.Error("such a set is in a snapshot, which has no word for it")
	}
	want.Sets[0].Elements = got[:1]
	n.apply(want)
	if c := diff(n.read(), want); !c.Empty() {
		t.Errorf("still to change: %+v", c)
	}
}

func FuzzDecodeRule(f *testing.F) {
	e := wideEncoder()
	for _, s := range append(statements, natStatements...) {
		if err := e.encodeExprs(&s.rule); err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte(nil), e.b...), appendComment(nil, udataRuleComment, s.rule.Comment))
	}
	f.Fuzz(func(t *testing.T, raw, userdata []byte) {
		r := e.decodeRule(raw, userdata)
		if r.Foreign != "" {
			return
		}
		if err := e.encodeExprs(&r); err != nil || !sameExprs(e.b, raw) {
			t.Errorf("%+v is taken for what it is not: %v", r, err)
		}
	})
}
