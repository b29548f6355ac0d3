package insync_test

import (
	"net/netip"
	"testing"
	"time"

	"pbr/cmd/pbr/insync"
)

// TestSumTellsValuesApart: what looks alike at first sight has different sums, and equal values
// have equal ones wherever they are.
func TestSumTellsValuesApart(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	type two struct{ A, B string }
	for name, c := range map[string]struct{ a, b any }{
		"where one string ends":   {two{"ab", "c"}, two{"a", "bc"}},
		"one list or two":         {[][]int{{1, 2}}, [][]int{{1}, {2}}},
		"nil and empty":           {[]int(nil), []int{}},
		"nil and a pointer":       {(*int)(nil), new(int)},
		"a pair of a map":         {map[string]string{"a": "b"}, map[string]string{"b": "a"}},
		"an address's zone":       {netip.MustParseAddr("fe80::1%a"), netip.MustParseAddr("fe80::1%b")},
		"versions of an address":  {netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("::ffff:1.2.3.4")},
		"time zones":              {berlin, time.UTC},
		"types of interfaces":     {[]any{int32(1)}, []any{int64(1)}},
		"a number and its double": {[]uint64{127}, []uint64{128}},
	} {
		t.Run(name, func(t *testing.T) {
			if insync.Of(c.a) == insync.Of(c.b) {
				t.Errorf("%s: the same sum", name)
			}
		})
	}
	m, n := map[string]int{}, map[string]int{}
	for i := range 100 {
		m[string(rune('a'+i))], n[string(rune('a'+99-i))] = i, 99-i
	}
	if insync.Of(m) != insync.Of(n) {
		t.Error("a map's sum depends on how it was made")
	}
	x, y := 7, 7
	if insync.Of(&x) != insync.Of(&y) {
		t.Error("a sum depends on where a value is")
	}
}

// TestSumRefusesWhatHasNoValue: a function in an input would be omitted without a word.
func TestSumRefusesWhatHasNoValue(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a function has a sum")
		}
	}()
	insync.Of(struct{ F func() }{func() {}})
}
