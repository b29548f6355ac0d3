package nft

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// Members returns the members of a run-time set, sorted by address. The error is unix.ENOENT if
// there is no such set.
func (c *Conn) Members(set *plan.Set) ([]Member, error) {
	for range readAttempts {
		list, err := c.readMembers(set)
		if !errors.Is(err, errDumpInterrupted) {
			return list, err
		}
	}
	return nil, fmt.Errorf("listing the members of set %s: %w at each of %d attempts", set.Name, ErrChanged, readAttempts)
}

// readMembers is Members, once.
func (c *Conn) readMembers(set *plan.Set) ([]Member, error) {
	r := memberReader{set: set}
	err := c.dump(unix.NFT_MSG_GETSETELEM, familyInet, setFilter(set.Name), func(raw []byte) error {
		for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			r.add(elem)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the members of set %s: %w", set.Name, err)
	}
	return r.members(), nil
}

// EditMembers removes members from a run-time set and adds others, in one transaction. To give a
// member another time it has to be in both lists: the kernel keeps the old time of one that is
// added again. The error is unix.ENOENT if there is no such set, or one of the removed members is
// gone, ENFILE if the set is full, EEXIST if an added one overlaps another, and ErrOtherForm if the
// set's Interval is not as it says; nothing is done then.
func (c *Conn) EditMembers(set *plan.Set, remove, add []Member) error {
	return c.EditSets([]Edit{{set, remove, add}})
}

// EditSets is EditMembers for several sets at once.
func (c *Conn) EditSets(edits []Edit) error {
	check := func(from uint32) error { return c.sameForm(edits, from) }
	return c.editMembers(check, func(b *batch) {
		for _, e := range edits {
			b.members(unix.NFT_MSG_DELSETELEM, 0, e.Set, e.Remove)
		}
		for _, e := range edits {
			b.members(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, e.Set, e.Add)
		}
	})
}

// members writes messages with members of a run-time set.
func (b *batch) members(msg, flags uint16, s *plan.Set, list []Member) {
	b.elementMessages(msg, flags, s.Name, len(list), func(i int) { b.member(s, &list[i], msg == unix.NFT_MSG_NEWSETELEM) })
}

// member appends a member, with its time if that matters.
func (w *writer) member(s *plan.Set, m *Member, timed bool) {
	width := s.Type.Width()
	from, to := plan.KeyFromAddr(m.From), plan.KeyFromAddr(m.To)
	end, closed := to.Next(s.Type)
	at := w.open(unix.NFTA_LIST_ELEM)
	w.elementKey(from[:width])
	if timed && m.Timeout > 0 {
		w.u64(unix.NFTA_SET_ELEM_TIMEOUT, milliseconds(m.Timeout))
		if m.Expires > 0 {
			w.u64(unix.NFTA_SET_ELEM_EXPIRATION, milliseconds(min(m.Expires, m.Timeout)))
		}
	}
	if s.Interval && !closed {
		w.bytes(unix.NFTA_SET_ELEM_USERDATA, openEnd)
	}
	w.shut(at)
	if s.Interval && closed {
		at := w.open(unix.NFTA_LIST_ELEM)
		w.elementKey(end[:width])
		w.u32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
		w.shut(at)
	}
}

// milliseconds is a time as the kernel has it; it takes 0 for no time at all.
func milliseconds(d time.Duration) uint64 { return uint64(max(d, time.Millisecond) / time.Millisecond) }

// memberReader gathers the members of a run-time set.
type memberReader struct {
	set *plan.Set
	raw []rawMember
}

// rawMember is a member, or the end of one, as the kernel lists it.
type rawMember struct {
	key              plan.Key
	end              bool
	timeout, expires time.Duration
}

// add takes the attributes of one element. What pbr does not make, as a comment of somebody else's,
// is omitted.
func (r *memberReader) add(elem []byte) {
	var m rawMember
	for typ, v := range attrs(elem) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			copy(m.key[:], attr(v, unix.NFTA_DATA_VALUE))
		case unix.NFTA_SET_ELEM_FLAGS:
			m.end = number(v)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_TIMEOUT:
			m.timeout = time.Duration(number64(v)) * time.Millisecond
		case unix.NFTA_SET_ELEM_EXPIRATION:
			m.expires = time.Duration(number64(v)) * time.Millisecond
		}
	}
	r.raw = append(r.raw, m)
}

// members puts beginnings and ends together.
func (r *memberReader) members() []Member {
	sorting.Func(r.raw, func(a, b rawMember) int { return compareBounds(a.key, b.key, a.end, b.end) })
	list := make([]Member, 0, len(r.raw))
	open := false
	for i := range r.raw {
		e := &r.raw[i]
		if open {
			last, _ := e.key.Prev(r.set.Type)
			list[len(list)-1].To = last.Addr(r.set.Type)
		}
		if e.end {
			open = false
			continue
		}
		m := Member{From: e.key.Addr(r.set.Type), To: e.key.Addr(r.set.Type), Timeout: e.timeout, Expires: e.expires}
		if open = r.set.Interval; open {
			m.To = plan.MaxKey(r.set.Type).Addr(r.set.Type)
		}
		list = append(list, m)
	}
	return list
}

// inheritance is what run-time sets that are made in an edit get for members.
type inheritance map[string][]Member

// inherit reads the members of run-time sets that go, for those that come under their names, and
// gets those of sets that are new from the seeds. The result is of live's generation, or the
// transaction that it is for fails.
func (c *Conn) inherit(live *Live, changes *plan.Changes) (inheritance, error) {
	in := inheritance{}
	for i := range changes.Sets {
		ch := &changes.Sets[i]
		if ch.Want == nil || !ch.Want.RunTime || !ch.Want.OfAddresses() || ch.Have != nil && !ch.Rebuild {
			continue
		}
		list, err := c.inherited(live, ch.Want)
		if err != nil {
			return nil, err
		}
		in[ch.Want.Name] = fitting(ch.Want, list)
	}
	return in, nil
}

func (c *Conn) inherited(live *Live, want *plan.Set) ([]Member, error) {
	have := findSet(&live.Ruleset, want.Name)
	if have == nil || !have.RunTime || have.Type != want.Type {
		if c.Seeds == nil {
			return nil, nil
		}
		return c.Seeds(want.Name), nil
	}
	list, err := c.readMembers(&plan.Set{Name: kernelSet(live.bCopies, want.Name), Type: have.Type, Interval: have.Interval})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, errDumpInterrupted) {
		return nil, ErrChanged
	}
	return list, err
}

// fitting returns the members that a set can hold: only one with intervals holds more than single
// addresses, and none more than its size.
func fitting(s *plan.Set, list []Member) []Member {
	out := slices.DeleteFunc(slices.Clone(list), func(m Member) bool { return !s.Interval && m.From != m.To })
	if n := int(s.Size); n > 0 && len(out) > n {
		// Those that stay longest are kept; a member without a time stays for ever.
		sorting.Func(out, func(a, b Member) int { return cmp.Compare(b.left(), a.left()) })
		out = out[:n]
		sortMembers(out)
	}
	return out
}
