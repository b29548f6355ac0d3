package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// tally is what a counter has counted.
type tally struct{ packets, bytes uint64 }

func (n tally) plus(m tally) tally { return tally{n.packets + m.packets, n.bytes + m.bytes} }

// counter appends the content of an expression that counts, from n on.
func (w *writer) counter(n tally) {
	w.str(unix.NFTA_EXPR_NAME, "counter")
	at := w.open(unix.NFTA_EXPR_DATA)
	w.countData(n)
	w.shut(at)
}

func (w *writer) countData(n tally) {
	if n != (tally{}) {
		w.u64(unix.NFTA_COUNTER_BYTES, n.bytes)
		w.u64(unix.NFTA_COUNTER_PACKETS, n.packets)
	}
}

// count gives an element a count to begin with. Without one the kernel gives it a copy of its map's
// counter.
func (w *writer) count(n tally) {
	if n != (tally{}) {
		at := w.open(setElemExpr)
		w.counter(n)
		w.shut(at)
	}
}

// isCounter reports whether an expression is one that counts.
func isCounter(expr []byte) bool { return text(attr(expr, unix.NFTA_EXPR_NAME)) == "counter" }

func readCount(data []byte) tally {
	return tally{number64(attr(data, unix.NFTA_COUNTER_PACKETS)), number64(attr(data, unix.NFTA_COUNTER_BYTES))}
}

// counts are what was counted, by name: of named counters, and of elements by what they count for.
type counts map[string]tally

func (n counts) add(name string, more tally) {
	if name != "" && more != (tally{}) {
		n[name] = n[name].plus(more)
	}
}

// elements adds what the elements of a message have counted.
func (n counts) elements(raw []byte) {
	for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		expr := attr(elem, setElemExpr)
		if expr == nil {
			continue
		}
		n.add(udataText(attr(elem, unix.NFTA_SET_ELEM_USERDATA), udataElemComment), readCount(attr(expr, unix.NFTA_EXPR_DATA)))
	}
}

// take returns what was counted under a name, once.
func (n counts) take(name string) tally {
	c := n[name]
	delete(n, name)
	return c
}

// Packets returns what was counted: by each named counter, and, under the same name, by the
// elements that count for it.
func (c *Conn) Packets() (map[string]uint64, error) {
	n := counts{}
	packets := map[string]uint64{}
	if err := c.namedCounts(func(name string, count tally) {
		packets[name] = 0
		n.add(name, count)
	}); err != nil {
		return nil, err
	}
	maps, err := c.countedMaps()
	for _, name := range maps {
		if err == nil {
			err = c.elementCounts(name, n)
		}
	}
	if err != nil {
		return nil, err
	}
	for name, count := range n {
		packets[name] = count.packets
	}
	return packets, nil
}

// namedCounts calls f for each named counter.
func (c *Conn) namedCounts(f func(name string, n tally)) error {
	err := c.dump(unix.NFT_MSG_GETOBJ, familyInet, inTable(), func(raw []byte) error {
		if text(attr(raw, unix.NFTA_OBJ_TABLE)) == plan.TableName && number(attr(raw, unix.NFTA_OBJ_TYPE)) == unix.NFT_OBJECT_COUNTER {
			f(text(attr(raw, unix.NFTA_OBJ_NAME)), readCount(attr(raw, unix.NFTA_OBJ_DATA)))
		}
		return nil
	})
	return tolerated("listing counters", err)
}

// countedMaps returns the kernel's names of the maps whose elements count.
func (c *Conn) countedMaps() (names []string, err error) {
	err = c.dump(unix.NFT_MSG_GETSET, familyInet, inTable(), func(raw []byte) error {
		if text(attr(raw, unix.NFTA_SET_TABLE)) == plan.TableName && isCounter(attr(raw, setExpr)) {
			names = append(names, text(attr(raw, unix.NFTA_SET_NAME)))
		}
		return nil
	})
	return names, tolerated("listing maps", err)
}

// elementCounts adds what the elements of a map have counted.
func (c *Conn) elementCounts(set string, n counts) error {
	err := c.dump(unix.NFT_MSG_GETSETELEM, familyInet, setFilter(set), func(raw []byte) error {
		n.elements(raw)
		return nil
	})
	return tolerated("listing what map "+set+" has counted", err)
}

// tolerated is the error of a listing that may be of a table that is not there, or changes
// meanwhile: a count more or less does not matter.
func tolerated(what string, err error) error {
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, errDumpInterrupted) {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// leavingCounts returns what elements and named counters have counted that an edit removes, so that
// those that it adds continue from there. What is counted between this and the edit is lost.
func (c *Conn) leavingCounts(e *edit) (counts, error) {
	n := counts{}
	var named []string
	for _, ch := range e.changes.Counters {
		if ch.Have != nil {
			named = append(named, ch.Have.Name)
		}
	}
	if named != nil {
		slices.Sort(named)
		if err := c.namedCounts(func(name string, count tally) {
			if _, leaves := slices.BinarySearch(named, name); leaves {
				n.add(name, count)
			}
		}); err != nil {
			return nil, err
		}
	}
	for i := range e.sets {
		ch := &e.sets[i]
		if ch.Have == nil || !ch.Have.Counted {
			continue
		}
		name := kernelSet(e.live.bCopies, ch.Have.Name)
		var err error
		if ch.Want == nil || ch.Rebuild {
			err = c.elementCounts(name, n)
		} else {
			err = c.countsOf(name, ch, n)
		}
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

// countsOf adds what those elements of a map have counted that a change removes.
func (c *Conn) countsOf(name string, ch *plan.SetChange, n counts) error {
	ask := func(write func(*writer)) error {
		w := writer{setFilter(name)}
		at := w.open(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		write(&w)
		w.shut(at)
		return tolerated("asking what elements of map "+name+" have counted", c.get(unix.NFT_MSG_GETSETELEM, w.b, n.elements))
	}
	for part := range slices.Chunk(ch.Remove, askedAtOnce) {
		if err := ask(func(w *writer) {
			for i := range part {
				w.element(ch.Have, &part[i], tally{})
			}
		}); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(ch.RemoveTuples, askedAtOnce) {
		if err := ask(func(w *writer) {
			for i := range part {
				w.tuple(ch.Have, &part[i], tally{})
			}
		}); err != nil {
			return err
		}
	}
	return nil
}
