//go:build linux

package nft

import (
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// guessed has a set of each kind, of more elements than are asked for at once.
func guessed() *plan.Ruleset {
	list := plan.Set{Name: "zbig", Type: plan.TypeIPv4, Interval: true}
	exact := plan.Set{Name: "exact", Concat: ipPort, Map: true}
	for i := range uint32(1200) {
		list.Elements = append(list.Elements, span(u32(0x01000000+i<<3), u32(0x01000000+i<<3+5)))
		exact.Tuples = append(exact.Tuples, tuple(ipPort, "m1", one(u32(0x01000000+i)), one(u16(53))))
	}
	return &plan.Ruleset{Sets: []plan.Set{exact, list}, Chains: []plan.Chain{{Name: "m1"}, {Name: "m2"}}}
}

// sharing returns which sets of l are the guess's own memory.
func sharing(l *Live, guess *plan.Ruleset) (exact, list bool) {
	g, r := guess.Sets, l.Ruleset.Sets
	return &r[0].Tuples[0] == &g[0].Tuples[0], &r[1].Elements[0] == &g[1].Elements[0]
}

// TestBigSetsAreReadByGuess reads after edits by hand, with what was there before as the guess:
// what changed shows, what did not is not listed.
func TestBigSetsAreReadByGuess(t *testing.T) {
	n := newNetns(t)
	guess := guessed()
	n.conn.big = 1000
	n.apply(guess)
	read := func(t *testing.T) *Live {
		t.Helper()
		l, err := n.conn.Read(guess)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	exact, list := sharing(read(t), guess)
	counted := exact && list
	t.Logf("the kernel counts elements: %v", counted)
	for _, c := range []struct {
		script      string
		exact, list bool
	}{
		{"add element inet pbr zbig { 255.0.0.0/8 }", true, false},
		{"delete element inet pbr zbig { 255.0.0.0/8 }", true, true},
		{"add element inet pbr zbig { 200.0.0.1 }", true, false},
		{"delete element inet pbr zbig { 200.0.0.1, 1.0.0.0-1.0.0.5 }\nadd element inet pbr zbig { 1.0.0.0-1.0.0.4 }", true, false},
		{"delete element inet pbr zbig { 1.0.0.0-1.0.0.4 }\nadd element inet pbr zbig { 1.0.0.0-1.0.0.5 }", true, true},
		{"delete element inet pbr exact { 1.0.0.0 . 53 }\nadd element inet pbr exact { 1.0.0.0 . 53 : goto m2 }", false, true},
		{"delete element inet pbr exact { 1.0.0.0 . 53 }\nadd element inet pbr exact { 1.0.0.0 . 54 : goto m1 }", false, true},
	} {
		t.Run(c.script, func(t *testing.T) {
			n.load(c.script)
			l := read(t)
			if left := diff(n.read(), &l.Ruleset); !left.Empty() {
				t.Errorf("%s: read by guess differs from what is there: %+v", c.script, left.Sets)
			}
			exact, list := sharing(l, guess)
			if counted && (exact != c.exact || list != c.list) {
				t.Errorf("%s: taken from the guess: %v and %v", c.script, exact, list)
			}
		})
	}
}

func TestGuessOfAnotherShapeIsNone(t *testing.T) {
	n := newNetns(t)
	guess := guessed()
	n.conn.big = 1000
	n.apply(guess)
	other := *guess
	other.Sets = slices.Clone(guess.Sets)
	other.Sets[0].Concat, other.Sets[1].Type = []plan.Type{plan.TypeMark, plan.TypePort}, plan.TypeMark
	l, err := n.conn.Read(&other)
	if err != nil {
		t.Fatal(err)
	}
	if left := diff(l, guess); !left.Empty() {
		t.Error("a guess of another shape is believed")
	}
}

// TestOutlineIsAllButElements checks that an outline differs from the table in the elements of its
// sets alone.
func TestOutlineIsAllButElements(t *testing.T) {
	n := newNetns(t)
	if r, err := n.conn.Outline(); err != nil || !r.Empty() {
		t.Fatalf("without a table: %+v, %v", r, err)
	}
	n.apply(guessed())
	n.load("add counter inet pbr stray\nadd rule inet pbr m1 ip daddr { 192.0.2.1, 192.0.2.9 } accept")
	got, err := n.conn.Outline()
	if err != nil {
		t.Fatal(err)
	}
	want := n.read().Ruleset
	for i := range want.Sets {
		want.Sets[i].Elements, want.Sets[i].Tuples = nil, nil
	}
	if len(want.Sets) != 2 || !reflect.DeepEqual(*got, want) {
		t.Errorf("the outline is\n%+v, want\n%+v", *got, want)
	}
}

// TestASmallChangeLeavesRoom: a question about many elements is longer than a small change, and the
// room that there was for it is there after one.
func TestASmallChangeLeavesRoom(t *testing.T) {
	n := newNetns(t)
	room := func() (size int) {
		if err := n.conn.link.Control(func(fd int) (err error) {
			size, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return size
	}
	before := room()
	n.apply(&plan.Ruleset{Chains: []plan.Chain{{Name: "small"}}})
	if after := room(); after < before {
		t.Errorf("%d bytes, where there were %d", after, before)
	}
}
