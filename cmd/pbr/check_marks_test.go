package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Numbers that leave the mask's highest bit give it away; with one more pbr check says that there
// is none, which is not a warning.
func TestInsideNote(t *testing.T) {
	many := func(uplinks int) string {
		var b strings.Builder
		for i := range uplinks {
			fmt.Fprintf(&b, "[[uplink]]\nname = \"u%d\"\ninterface = \"wan%d\"\ngateway = \"10.0.%d.1\"\n", i, i, i)
		}
		return b.String() + "[default]\nroutes = { uplink = \"u0\" }\n"
	}
	for name, tc := range map[string]struct {
		text, note string
		bit        uint32
	}{
		"as many as leave the bit": {many(127), "", 0x80000000},
		"one more": {many(128), "marks: no inside bit: 128 numbers are needed; with the inside bit mark-mask has 127: " +
			"one more bit gives it back: mark-mask = 0xff800000. Everything works; packets of pinned connections cost a few percent more. " +
			"See \"inside bit\" in docs/how-it-works.md\n", 0},
		"two hundred": {many(200), "200 numbers are needed", 0},
		"one number": {"[pbr]\nmark-mask = 0x01000000\n" + many(1),
			"no inside bit: 1 number is needed; with the inside bit mark-mask has 0: one more bit gives it back: mark-mask = 0x01800000. ", 0},
		"the lowest bits": {"[pbr]\nmark-mask = 0x00000003\n" + many(2), "gives it back: mark-mask = 0x00000007. ", 0},
		"a fixed mark": {many(2) + "[[table]]\nname = \"t\"\nmark = 0x80000000\nroutes = { uplink = \"u1\" }\n",
			"marks: no inside bit: table \"t\" (line 13) has mark 0x80000000. Everything works; packets of pinned connections cost " +
				"a few percent more. A mark below 0x80000000, or none, gives it back. See \"inside bit\" in docs/how-it-works.md\n", 0},
		"another fixed mark": {many(2) + "[[table]]\nname = \"t\"\nmark = 0x40000000\nroutes = { uplink = \"u1\" }\n", "", 0x80000000},
		"another mask":       {"[pbr]\nmark-mask = 0x0000f0f0\n" + many(3), "", 0x8000},
		"a mask of 32 bits":  {"[pbr]\nmark-mask = 0xffffffff\n" + many(200), "", 0x80000000},
	} {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, tc.text)
			if note := insideNote(doc); (note == "") != (tc.note == "") || !strings.Contains(note, tc.note) {
				t.Errorf("the note is %q, not %q", note, tc.note)
			}
			p, problems := compiler.Compile(doc, plan.HostFacts{}, nil)
			if p == nil {
				t.Fatal(problems)
			}
			if p.Inside != tc.bit {
				t.Errorf("the bit is %#x, not %#x", p.Inside, tc.bit)
			}
			for _, n := range p.Numbers {
				if n.Mark&p.Inside != 0 {
					t.Errorf("%s has the bit in its number: %#x", n.Name, n.Mark)
				}
			}
		})
	}
}

// A number below the bit is the same with and without it.
func TestNumbersBelowInsideBitStay(t *testing.T) {
	var b strings.Builder
	for i := range 6 {
		fmt.Fprintf(&b, "[[uplink]]\nname = \"line-%d\"\ninterface = \"wan%d\"\ngateway = \"10.0.%d.1\"\n", i, i, i)
	}
	b.WriteString("[default]\nroutes = { uplink = \"line-0\" }\n")
	with, _ := compiler.Compile(parse(t, b.String()), plan.HostFacts{}, nil)
	without, _ := compiler.Compile(parse(t, b.String()+
		"[[table]]\nname = \"fixed\"\nmark = 0xff000000\nroutes = { uplink = \"line-1\" }\n"),
		plan.HostFacts{}, nil)
	if with.Inside == 0 || without.Inside != 0 {
		t.Fatalf("bits %#x and %#x", with.Inside, without.Inside)
	}
	low := 0
	for _, a := range with.Numbers {
		for _, b := range without.Numbers {
			if a.Name != b.Name || a.Mark == 0 {
				continue
			}
			if b.Mark&with.Inside == 0 {
				low++
			}
			if a.Mark != b.Mark&^with.Inside {
				t.Errorf("%s has number %#x, and %#x without the bit", a.Name, a.Mark, b.Mark)
			}
		}
	}
	if low == 0 {
		t.Error("no number is below the bit")
	}
}

func parse(t *testing.T, text string) *policy.Document {
	t.Helper()
	doc, problems := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return doc
}
