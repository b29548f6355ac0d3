package nft

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// From bigSet elements on a set is not listed if there is a guess at what it has. The kernel walks
// a set from its beginning for each 32 KiB of a listing: a million prefixes take it 70 to 100 s,
// asking for each of them 10 s (Linux 6.18, 2 cores).
const bigSet = 50_000

// askedAtOnce is for how many elements the kernel is asked in one message. Each of them is answered
// by one or two.
const askedAtOnce = 500

// asGuessed reports whether s has exactly the elements that are guessed, and gives them to it. It
// has if it has each of them, and as many in all as there are. The kernel counts the ends of
// intervals with their beginnings, so that one beginning too many is not seen, which nft does not
// make but as the last of all.
func (r *reader) asGuessed(s *plan.Set) (bool, error) {
	if r.guess == nil || r.counts[s.Name] < r.c.big {
		return false, nil
	}
	g := findSet(r.guess, s.Name)
	if g == nil || g.Type != s.Type || !slices.Equal(g.Concat, s.Concat) || g.Map != s.Map || g.Counted != s.Counted ||
		g.Interval != s.Interval ||
		len(g.Elements)+len(g.Tuples) != r.counts[s.Name] {
		return false, nil
	}
	name := kernelSet(r.live.bCopies, s.Name)
	for part := range slices.Chunk(g.Elements, askedAtOnce) {
		if same, err := r.has(name, &plan.Set{Type: s.Type, Interval: s.Interval, Map: s.Map, Counted: s.Counted,
			Elements: part}); !same || err != nil {
			return false, err
		}
	}
	for part := range slices.Chunk(g.Tuples, askedAtOnce) {
		if same, err := r.has(name, &plan.Set{Concat: s.Concat, Interval: s.Interval, Map: s.Map, Counted: s.Counted,
			Tuples: part}); !same || err != nil {
			return false, err
		}
	}
	if same, err := r.endsAsGuessed(name, g); !same || err != nil {
		return false, err
	}
	s.Elements, s.Tuples = g.Elements, g.Tuples
	return true, nil
}

// has reports whether the kernel has all elements of part, with their values, in the named set.
func (r *reader) has(name string, part *plan.Set) (bool, error) {
	got, irregular, err := r.find(name, part)
	if got == nil || err != nil {
		return false, err
	}
	return !irregular && got.Foreign == "" && slices.Equal(got.Elements, part.Elements) && slices.Equal(got.Tuples, part.Tuples), nil
}

// find returns what the kernel finds in the named set when it is asked for the elements of part;
// nil if it lacks any of them.
func (r *reader) find(name string, part *plan.Set) (got *plan.Set, irregular bool, err error) {
	w := writer{setFilter(name)}
	at := w.open(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	for i := range part.Elements {
		w.element(part, &part.Elements[i], tally{})
	}
	for i := range part.Tuples {
		w.tuple(part, &part.Tuples[i], tally{})
	}
	w.shut(at)
	found := *part
	found.Elements, found.Tuples = nil, nil
	er := elementReader{set: &found}
	err = r.c.get(unix.NFT_MSG_GETSETELEM, w.b, func(raw []byte) {
		for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			er.add(elem)
		}
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, false, nil
	}
	return &found, er.finish(), err
}

// endsAsGuessed reports whether nothing is behind the last guessed interval: an interval up to the
// highest address has no end, and would not be counted.
func (r *reader) endsAsGuessed(name string, g *plan.Set) (bool, error) {
	n := len(g.Elements)
	if !g.Interval || n == 0 || g.Elements[n-1].To == plan.MaxKey(g.Type) {
		return true, nil
	}
	last := plan.MaxKey(g.Type)
	found, _, err := r.find(name, &plan.Set{Type: g.Type, Interval: true, Map: g.Map, Counted: g.Counted,
		Elements: []plan.Element{{From: last, To: last, Goto: g.Elements[n-1].Goto}}})
	return found == nil && err == nil, err
}

// get asks for objects by name and calls f with the attributes of each, which stay valid only
// during the call.
func (s *socket) get(msg uint16, request []byte, f func(attrs []byte)) error {
	s.drain()
	s.seq++
	if err := s.link.Send(appendMessage(nil, msg, unix.NLM_F_REQUEST|unix.NLM_F_ACK, s.seq, familyInet, request)); err != nil {
		return err
	}
	done := false
	var failed error
	for !done {
		err := s.receive(true, func(m message) error {
			switch {
			case m.seq != s.seq:
			case m.typ == unix.NLMSG_ERROR:
				done, failed = true, m.errno()
			default:
				f(m.attrs())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return failed
}
