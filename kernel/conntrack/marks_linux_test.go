package conntrack

import (
	"fmt"
	"testing"
)

// TestManyMarksAreCleared: with more marks than the mask has bits, they are found another way;
// those not named stay.
func TestManyMarksAreCleared(t *testing.T) {
	newNamespace(t)
	ct := newConntrack(t)
	const mask, others = 0x00ff0000, 0x1200a034
	var gone []uint32
	for i := range uint32(20) {
		c := connection{fmt.Sprint(i), fmt.Sprintf("10.0.0.%d", i), "8.8.8.8", "8.8.8.8", fmt.Sprintf("10.0.0.%d", i), i<<16 | others}
		c.add(t, ct, uint16(1000+i))
		if i > 0 && i != 7 && i != 16 {
			gone = append(gone, i<<16)
		}
	}
	n, err := ClearMarks(mask, gone)
	must(t, err)
	if n != len(gone) {
		t.Errorf("cleared %d of %d", n, len(gone))
	}
	flows, err := ct.Dump(nil)
	must(t, err)
	rest := map[uint32]int{}
	for _, f := range flows {
		rest[f.Mark]++
	}
	if want := map[uint32]int{others: 18, others | 7<<16: 1, others | 16<<16: 1}; fmt.Sprint(rest) != fmt.Sprint(want) {
		t.Errorf("left are %x, wanted %x", rest, want)
	}
}
