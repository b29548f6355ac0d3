package compiler

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"pbr/compiler/policy"
)

func documentOf(mask uint32, tables ...string) *policy.Document {
	doc := &policy.Document{Settings: policy.Settings{MarkMask: mask}}
	for _, name := range tables {
		doc.Tables = append(doc.Tables, policy.Table{Name: name})
	}
	return doc
}

func names(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("table-%d", i))
	}
	return list
}

func TestNumbersDoNotDependOnOrder(t *testing.T) {
	list := names(100)
	want := giveNumbers(documentOf(0xff000000, list...)).list()
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if got := giveNumbers(documentOf(0xff000000, list...)).list(); !slices.Equal(got, want) {
		t.Errorf("another order gives other numbers:\n%v\n%v", got, want)
	}
}

// A table's coming moves only tables whose names meet in the mask.
func TestNumbersAreStable(t *testing.T) {
	list := names(40)
	before := giveNumbers(documentOf(0xffff0000, list...))
	for i := range 200 {
		after := giveNumbers(documentOf(0xffff0000, append(slices.Clone(list), fmt.Sprintf("new-%d", i))...))
		for _, name := range list {
			if before.byName[name] != after.byName[name] {
				t.Errorf("new-%d moved %s from %v to %v", i, name, before.byName[name], after.byName[name])
			}
		}
	}
}

func TestNumbersFillTheMask(t *testing.T) {
	for _, mask := range []uint32{0xff000000, 0x7, 0x00f0f000, 0x80000001} {
		t.Run(fmt.Sprintf("mask %#x", mask), func(t *testing.T) {
			limit := 1<<bits.OnesCount32(mask) - 1
			given := giveNumbers(documentOf(mask, names(limit)...)).list()
			seen := map[uint32]string{}
			for _, n := range given {
				if n.Mark == 0 || n.Mark&^mask != 0 {
					t.Errorf("mask %#x: %s has mark %#x", mask, n.Name, n.Mark)
				}
				if other := seen[n.Mark]; other != "" {
					t.Errorf("mask %#x: %s and %s share mark %#x", mask, n.Name, other, n.Mark)
				}
				if want := firstTable + extract(n.Mark, mask); n.Table != want {
					t.Errorf("mask %#x: %s has table %d, want %d", mask, n.Name, n.Table, want)
				}
				seen[n.Mark] = n.Name
			}
			if len(seen) != limit {
				t.Errorf("mask %#x: %d numbers given, want %d", mask, len(seen), limit)
			}
		})
	}
}

// Fixed numbers are kept, and nobody else gets them: neither the mark, nor the table id that the
// mark's number would have.
func TestFixedNumbers(t *testing.T) {
	const mask = 0x0f000000
	doc := documentOf(mask, names(12)...)
	doc.Tables = append(doc.Tables,
		policy.Table{Name: "fixed", Mark: 0x05000000, ID: 120},
		policy.Table{Name: "marked", Mark: 0x06000000},
		policy.Table{Name: "id", ID: firstTable + 7})
	n := giveNumbers(doc)
	t.Run("a mark and a table that are given", func(t *testing.T) {
		if got := n.byName["fixed"]; got.Mark != 0x05000000 || got.Table != 120 {
			t.Errorf("fixed: %+v", got)
		}
	})
	t.Run("a mark alone chooses the table", func(t *testing.T) {
		if got := n.byName["marked"]; got.Mark != 0x06000000 || got.Table != firstTable+6 {
			t.Errorf("marked: %+v", got)
		}
	})
	t.Run("a table alone leaves the mark free", func(t *testing.T) {
		if got := n.byName["id"]; got.Table != firstTable+7 || got.Mark == 0 {
			t.Errorf("id: %+v", got)
		}
	})
	t.Run("nobody else gets them", func(t *testing.T) {
		marks, tables := map[uint32]string{}, map[uint32]string{}
		for _, number := range n.list() {
			if marks[number.Mark] != "" || tables[number.Table] != "" {
				t.Errorf("%+v meets %s or %s", number, marks[number.Mark], tables[number.Table])
			}
			marks[number.Mark], tables[number.Table] = number.Name, number.Name
		}
	})
}

func TestDepositExtract(t *testing.T) {
	for range 10000 {
		mask := rand.Uint32()
		n := rand.Uint32() & uint32(uint64(1)<<bits.OnesCount32(mask)-1)
		v := deposit(n, mask)
		if v&^mask != 0 || extract(v, mask) != n {
			t.Fatalf("mask %#x: %d becomes %#x becomes %d", mask, n, v, extract(v, mask))
		}
	}
}
