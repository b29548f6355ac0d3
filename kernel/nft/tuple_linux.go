package nft

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// appendKernelTuple appends one end of a tuple as the set holds it.
func appendKernelTuple(b []byte, s *plan.Set, packed string) []byte {
	at := len(b)
	b = append(b, packed...)
	if !s.Interval {
		swapFields(b[at:], s.Concat)
	}
	return b
}

// tupleFromKernel is the opposite of appendKernelTuple.
func tupleFromKernel(s *plan.Set, key []byte) string {
	if s.Interval {
		return string(key)
	}
	key = slices.Clone(key)
	swapFields(key, s.Concat)
	return string(key)
}

// swapFields turns fields that a set without intervals holds in the machine's byte order into
// big-endian ones, or back.
func swapFields(b []byte, types []plan.Type) {
	for _, t := range types {
		if hostEndian(t) && littleEndian {
			slices.Reverse(b[:t.Width()])
		}
		b = b[plan.TupleWidth([]plan.Type{t}):]
	}
}

// tuple appends an element whose key has several fields. It begins to count at count.
func (w *writer) tuple(s *plan.Set, e *plan.Tuple, count tally) {
	var room [plan.MaxTupleWidth]byte
	at := w.open(unix.NFTA_LIST_ELEM)
	w.elementKey(appendKernelTuple(room[:0], s, e.From))
	if s.Interval {
		end := w.open(setElemKeyEnd)
		w.bytes(unix.NFTA_DATA_VALUE, appendKernelTuple(room[:0], s, e.To))
		w.shut(end)
	}
	if s.Map {
		w.verdict(unix.NFTA_SET_ELEM_DATA, unix.NFT_GOTO, e.Goto)
	}
	if e.Counter != "" {
		w.bytes(unix.NFTA_SET_ELEM_USERDATA, elementUserdata(e.Counter, false))
	}
	w.count(count)
	w.shut(at)
}

// checkTuples refuses what the set cannot hold, before anything is sent.
func checkTuples(s *plan.Set) error {
	width := plan.TupleWidth(s.Concat)
	for i := range s.Tuples {
		e := &s.Tuples[i]
		switch {
		case len(s.Concat) == 0 || len(e.From) != width || len(e.To) != width:
			return fmt.Errorf("element %d has %d and %d bytes, the set's keys have %d", i, len(e.From), len(e.To), width)
		case !s.Interval && e.From != e.To:
			return fmt.Errorf("element %d is an interval, the set has none", i)
		case s.Map != (e.Goto != ""):
			return fmt.Errorf("element %d: a verdict map's elements, and only they, go to a chain", i)
		case e.Counter != "" && !s.Counted:
			return fmt.Errorf("element %d counts, the map does not", i)
		}
	}
	return nil
}

// setTuple takes one end of an element's key. The kernel may omit the second one where it is the
// first.
func setTuple(t *plan.Tuple, typ uint16, packed string) {
	if typ == setElemKeyEnd {
		t.To = packed
		return
	}
	t.From = packed
	if t.To == "" {
		t.To = packed
	}
}

// finishTuples is finish for keys of several fields.
func (r *elementReader) finishTuples() {
	r.nameForeign()
	sorting.Func(r.tuples, plan.CompareTuples)
	r.set.Tuples = r.tuples
}
