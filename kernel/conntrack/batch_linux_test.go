package conntrack

import (
	"net/netip"
	"testing"
	"time"

	lib "github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

// cpu is the processor time that this process used, in user space and in the kernel.
func cpu() time.Duration {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// Many connections are marked and deleted at once, those that have ended meanwhile are not counted,
// and bits of others stay.
func TestBatches(t *testing.T) {
	newNamespace(t)
	ct := newConntrack(t)
	const many = 20_000
	for i := range many {
		src := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		must(t, ct.Create(lib.NewFlow(17, 0, src, netip.MustParseAddr("8.8.8.8"), 1000, 443, 600, 5)))
	}
	c, err := Dial()
	must(t, err)
	flows, err := List(c, All())
	must(t, err)
	var marks []Marking
	var each []*Flow
	for i := range flows {
		marks = append(marks, Marking{&flows[i], 0x440000, testMask})
		each = append(each, &flows[i])
	}
	gone := []*Flow{each[0], each[batchSize-1], each[batchSize], each[many-1]}
	for _, f := range gone {
		found, err := f.Remove(c)
		if must(t, err); !found {
			t.Error("a connection that is there was not found")
		}
	}
	start := cpu()
	for i := 1000; i < 3000; i++ {
		_, err := marks[i].SetMark(c, 0x010000, testMask)
		must(t, err)
	}
	t.Logf("2000 marked one by one in %s", cpu()-start)
	start = cpu()
	_, err = SetMarks(c, marks[1000:3000])
	t.Logf("2000 marked at once in %s: %v", cpu()-start, err)
	start = cpu()
	if n, err := SetMarks(c, marks); n != many-len(gone) || err != nil {
		t.Errorf("marked %d of %d: %v", n, many, err)
	}
	t.Logf("marked in %s", cpu()-start)
	if rest, err := List(c, MarkFilter{0x440005, testMask | 0xff}); len(rest) != many-len(gone) || err != nil {
		t.Errorf("%d connections have the mark: %v", len(rest), err)
	}
	// One that the kernel refuses is reported, and the others of its batch are done.
	broken := &Flow{request: []byte{2, 0, 0, 0, 4, 0, ctaTupleOrig, 0x80}}
	if n, err := SetMarks(c, append([]Marking{{broken, 0x220000, testMask}}, marks[1:batchSize-1]...)); n != batchSize-2 || err == nil {
		t.Errorf("beside a request that is refused %d are marked: %v", n, err)
	}
	start = cpu()
	if n, err := RemoveEach(c, each); n != many-len(gone) || err != nil {
		t.Errorf("deleted %d of %d: %v", n, many, err)
	}
	t.Logf("deleted in %s", cpu()-start)
	if rest, err := List(c, All()); len(rest) != 0 || err != nil {
		t.Errorf("%d connections are left: %v", len(rest), err)
	}
	if n, err := RemoveEach(c, nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	must(t, c.Close())
	if n, err := SetMarks(c, marks[:1]); n != 0 || err == nil {
		t.Errorf("without a socket: %d, %v", n, err)
	}
}
