package nft

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// openEnd is the user data with which nft marks an interval that ends at the highest key, and so
// has no end element.
var openEnd = appendUdata32(nil, udataElemFlags, udataElemIntervalOpen)

// kernelKey is a key as the set holds it.
func kernelKey(s *plan.Set, k plan.Key) plan.Key {
	if hostEndian(s.Type) && s.Type.Width() == 8 && !s.Interval {
		v := binary.BigEndian.Uint64(k[:])
		binary.NativeEndian.PutUint64(k[:], v)
		return k
	}
	if hostEndian(s.Type) && !s.Interval {
		v := binary.BigEndian.Uint32(k[:])
		binary.NativeEndian.PutUint32(k[:], v)
	}
	return k
}

// elementUserdata is what nft keeps with an element: for what it counts, as a comment, and whether
// its interval is open.
func elementUserdata(counter string, open bool) []byte {
	switch {
	case counter == "" && open:
		return openEnd
	case counter == "":
		return nil
	}
	b := appendComment(nil, udataElemComment, counter)
	if open {
		b = append(b, openEnd...)
	}
	return b
}

// element appends an element of s: one kernel element, or start and end of an interval. It begins
// to count at count.
func (w *writer) element(s *plan.Set, e *plan.Element, count tally) {
	width := s.Type.Width()
	end, closed := plan.Key{}, true
	if s.Interval {
		end, closed = e.To.Next(s.Type)
	}
	from := kernelKey(s, e.From)
	at := w.open(unix.NFTA_LIST_ELEM)
	w.elementKey(from[:width])
	if s.Map {
		w.verdict(unix.NFTA_SET_ELEM_DATA, elementVerdict(e), e.Goto)
	}
	if b := elementUserdata(e.Counter, !closed); b != nil {
		w.bytes(unix.NFTA_SET_ELEM_USERDATA, b)
	}
	w.count(count)
	w.shut(at)
	if s.Interval && closed {
		at := w.open(unix.NFTA_LIST_ELEM)
		w.elementKey(end[:width])
		w.u32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
		w.shut(at)
	}
}

// elementVerdict is how the map's element leads to its chain.
func elementVerdict(e *plan.Element) int32 {
	if e.Jump {
		return unix.NFT_JUMP
	}
	return unix.NFT_GOTO
}

func (w *writer) elementKey(k []byte) {
	at := w.open(unix.NFTA_SET_ELEM_KEY)
	w.bytes(unix.NFTA_DATA_VALUE, k)
	w.shut(at)
}

// checkElements refuses what the set cannot hold, before anything is sent.
func checkElements(s *plan.Set) error {
	if err := checkTuples(s); err != nil {
		return err
	}
	for i := range s.Elements {
		e := &s.Elements[i]
		switch {
		case !s.Interval && e.From != e.To:
			return fmt.Errorf("element %d is an interval, the set has none", i)
		case s.RunTime:
			return fmt.Errorf("element %d is planned, but others fill this set", i)
		case s.Dynamic:
			return fmt.Errorf("element %d is planned, but packets fill this map", i)
		case s.Map != (e.Goto != ""), e.Jump && !s.Map:
			return fmt.Errorf("element %d: a verdict map's elements, and only they, go to a chain", i)
		case e.Counter != "" && !s.Counted:
			return fmt.Errorf("element %d counts, the map does not", i)
		case len(s.Concat) > 0:
			return fmt.Errorf("element %d has one field, the set's keys have %d", i, len(s.Concat))
		}
	}
	return nil
}

// rawElement is one element as the kernel lists it.
type rawElement struct {
	key plan.Key
	// chain and counter are indices into the reader's names.
	chain     int32
	counter   int32
	end, jump bool
}

// elementReader gathers the elements of one set.
type elementReader struct {
	set     *plan.Set
	raw     []rawElement
	tuples  []plan.Tuple
	foreign []string
	// names are those of the chains that elements go to and of what they count for, each once; the
	// first is empty, for none.
	names []string
	index map[string]int32
}

// add takes the attributes of one element.
func (r *elementReader) add(elem []byte) {
	var e rawElement
	var t plan.Tuple
	several := len(r.set.Concat) > 0
	for typ, v := range attrs(elem) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY, setElemKeyEnd:
			key := attr(v, unix.NFTA_DATA_VALUE)
			if several && len(key) == plan.TupleWidth(r.set.Concat) {
				setTuple(&t, typ, tupleFromKernel(r.set, key))
				continue
			}
			if several || typ == setElemKeyEnd || len(key) != r.set.Type.Width() {
				r.odd("key %x", key)
				return
			}
			copy(e.key[:], key)
			e.key = kernelKey(r.set, e.key)
		case unix.NFTA_SET_ELEM_FLAGS:
			flags := number(v)
			e.end = flags&unix.NFT_SET_ELEM_INTERVAL_END != 0
			if flags&^unix.NFT_SET_ELEM_INTERVAL_END != 0 {
				r.odd("element flags %#x", flags)
			}
		case unix.NFTA_SET_ELEM_DATA:
			verdict := attr(v, unix.NFTA_DATA_VERDICT)
			code := int32(number(attr(verdict, unix.NFTA_VERDICT_CODE)))
			e.jump = code == unix.NFT_JUMP
			if code != unix.NFT_GOTO && (!e.jump || several) {
				r.odd("element %x with verdict %x", e.key, v)
			}
			e.chain = r.intern(attr(verdict, unix.NFTA_VERDICT_CHAIN))
		case unix.NFTA_SET_ELEM_USERDATA:
			counter := udataText(v, udataElemComment)
			if b := elementUserdata(counter, true); counter != "" && !r.set.Counted ||
				string(v) != string(b) && string(v) != string(elementUserdata(counter, false)) {
				r.odd("element userdata %x", v)
			}
			if counter != "" {
				e.counter = r.intern([]byte(counter))
			}
		case setElemExpr:
			if !r.set.Counted || !isCounter(v) {
				r.odd("element %x with statement %x", e.key, v)
			}
		case unix.NFTA_SET_ELEM_PAD, unix.NFTA_SET_ELEM_EXPIRATION:
		default:
			r.odd("element %x with attribute %d", e.key, typ)
		}
	}
	if several {
		t.Goto, t.Counter = r.name(e.chain), r.name(e.counter)
		r.tuples = append(r.tuples, t)
		return
	}
	r.raw = append(r.raw, e)
}

// intern numbers names.
func (r *elementReader) intern(name []byte) int32 {
	if len(name) > 0 && name[len(name)-1] == 0 {
		name = name[:len(name)-1]
	}
	if i, ok := r.index[string(name)]; ok {
		return i
	}
	if r.index == nil {
		r.index, r.names = map[string]int32{"": 0}, []string{""}
	}
	i := int32(len(r.names))
	r.names = append(r.names, string(name))
	r.index[string(name)] = i
	return i
}

// name is the name with a number.
func (r *elementReader) name(i int32) string {
	if i == 0 {
		return ""
	}
	return r.names[i]
}

// odd notes, a few times, what pbr does not make.
func (r *elementReader) odd(format string, args ...any) {
	if len(r.foreign) < 3 {
		r.foreign = append(r.foreign, fmt.Sprintf(format, args...))
	}
}

// compareBounds orders the beginnings and ends of intervals by key; where one interval begins at
// the end of another, the end comes first.
func compareBounds(a, b plan.Key, aEnds, bEnds bool) int {
	if c := a.Compare(b); c != 0 || aEnds == bEnds {
		return c
	}
	if aEnds {
		return -1
	}
	return 1
}

// finish gives the set its elements. It reports whether an interval ends without an element for
// its end, because the next one begins there.
func (r *elementReader) finish() (irregular bool) {
	if len(r.set.Concat) > 0 {
		r.finishTuples()
		return false
	}
	slices.SortFunc(r.raw, func(a, b rawElement) int { return compareBounds(a.key, b.key, a.end, b.end) })
	s := r.set
	r.nameForeign()
	if len(r.raw) == 0 {
		return false
	}
	s.Elements = make([]plan.Element, 0, (len(r.raw)+1)/2)
	if !s.Interval {
		s.Elements = slices.Grow(s.Elements, len(r.raw))
		for i := range r.raw {
			e := &r.raw[i]
			s.Elements = append(s.Elements, plan.Element{From: e.key, To: e.key, Goto: r.name(e.chain), Jump: e.jump,
				Counter: r.name(e.counter)})
		}
		return false
	}
	open := false
	for i := range r.raw {
		e := &r.raw[i]
		if open {
			s.Elements[len(s.Elements)-1].To, _ = e.key.Prev(s.Type)
			irregular = irregular || !e.end
		}
		open = !e.end
		if open {
			s.Elements = append(s.Elements, plan.Element{From: e.key, To: plan.MaxKey(s.Type), Goto: r.name(e.chain),
				Jump: e.jump, Counter: r.name(e.counter)})
		}
	}
	return irregular
}

// nameForeign tells in the set what pbr does not make.
func (r *elementReader) nameForeign() {
	if len(r.foreign) > 0 {
		r.set.Foreign = joinForeign(append(r.foreign, nonEmpty(r.set.Foreign)...))
	}
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
