package learn

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"pbr/kernel/nft"
	"pbr/kernel/tap/book"
)

// commitAll changes sets when there is something to change, and shows that the learner is alive.
func (l *Learner) commitAll(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	beats, resting := 0, false
	for {
		due, rested := tick.C, resting
		switch resting = l.idle(); {
		case resting: // nobody is woken for it
			due = nil
		case rested:
			tick.Reset(beat) // one that was due meanwhile would count as late
		}
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
			l.commit()
			if l.beating.IsZero() {
				l.sign()
			}
		case at := <-due:
			l.pace.tick(at, time.Now())
			l.sign()
			if beats++; beats%compareEvery == 0 {
				l.compare()
			}
		}
	}
}

// commit brings what is pending into the kernel.
func (l *Learner) commit() {
	l.mu.Lock()
	edits, touched := l.pendingEdits()
	done := l.done
	l.done = nil
	l.mu.Unlock()
	if len(edits) > 0 {
		if err := l.edit(edits); err == nil {
			l.well()
		} else {
			l.repair(edits, touched)
		}
		for i := range edits {
			l.taught.Add(uint64(len(edits[i].Add)))
		}
	}
	if done != nil {
		close(done)
	}
}

// repair does edits one set at a time after they failed together: the kernel lacks what was taken
// to be there, or has what was not known, or has no room.
func (l *Learner) repair(edits []nft.Edit, touched []*set) {
	for i, e := range edits {
		err := l.edit([]nft.Edit{e})
		if err == nil {
			continue
		}
		// Without the set there is nothing to do: whoever makes it asks what is known.
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENFILE) {
			err = l.again(e, touched[i], errors.Is(err, unix.ENFILE))
		}
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, nft.ErrOtherForm) {
			l.fail(err)
		}
	}
}

// again does an edit from what the kernel really has in a set.
func (l *Learner) again(e nft.Edit, s *set, full bool) error {
	got, err := l.readMembers(s.plan)
	if err != nil {
		return err
	}
	there := make(map[netip.Addr]bool, len(got))
	for _, m := range got {
		there[m.From] = true
	}
	next := nft.Edit{Set: e.Set, Add: e.Add}
	for _, m := range append(append([]nft.Member{}, e.Remove...), e.Add...) {
		if there[m.From] {
			next.Remove = append(next.Remove, m)
			delete(there, m.From)
		}
	}
	if full {
		next.Remove = append(next.Remove, l.room(s, got, there, len(e.Add))...)
	}
	return l.edit([]nft.Edit{next})
}

// inherit takes over what was learned for the set that it replaces and did not come into the
// kernel: that set's form had changed already, or it was about to.
func (s *set) inherit(from *set, now time.Time) {
	for _, m := range from.book.Members(now) {
		left := m.End.Sub(now)
		if m.End.IsZero() || s.book.Has(m.Addr) || left < aliveFor {
			continue
		}
		for _, c := range s.book.Teach(nil, now, m.Addr, m.Name, left) {
			s.note(c)
		}
	}
}

// compareEvery is how many beats are between two looks at what the sets really have.
const compareEvery = 10

// compare forgets members that somebody else took out, and gives those that another program put in
// for good their time, if it is to.
func (l *Learner) compare() {
	l.mu.Lock()
	adopt := l.topic != nil && l.topic.Adopt
	sets := slices.Collect(maps.Values(l.sets))
	l.mu.Unlock()
	for _, s := range sets {
		l.mu.Lock()
		known := s.book.Members(time.Now())
		l.mu.Unlock()
		got, err := l.readMembers(s.plan)
		if err != nil {
			continue // the set is being made
		}
		l.forget(s, known, got)
		if !adopt {
			continue
		}
		if e := l.adoption(s, got); len(e.Add) > 0 {
			if err := l.edit([]nft.Edit{e}); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, nft.ErrOtherForm) {
				l.fail(err)
			}
		}
	}
}

// forget drops what was known before the set was read, and was not in it.
func (l *Learner) forget(s *set, known []book.Member, got []nft.Member) {
	there := make(map[netip.Addr]bool, len(got))
	for _, m := range got {
		there[m.From] = true
	}
	soon := time.Now().Add(aliveFor)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range known {
		_, pending := s.pending[m.Addr]
		if !there[m.Addr] && !pending && m.End.After(soon) && !covered(got, m.Addr) {
			s.book.Forget(m.Addr)
		}
	}
}

// covered reports whether an address is in a range of a set.
func covered(got []nft.Member, a netip.Addr) bool {
	return slices.ContainsFunc(got, func(m nft.Member) bool { return m.From != m.To && m.Holds(a) })
}

// adoption is the edit that gives members of a set their time.
func (l *Learner) adoption(s *set, got []nft.Member) nft.Edit {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, now := nft.Edit{Set: s.plan}, time.Now()
	for _, m := range got {
		if m.Timeout > 0 || m.From != m.To {
			continue
		}
		left := s.book.Adopt(now, m.From, s.stay)
		e.Remove = append(e.Remove, m)
		e.Add = append(e.Add, nft.Member{From: m.From, To: m.From, Timeout: left})
	}
	return e
}

// room makes room for n members in a set that is full, by those that leave first, of those that are
// there.
func (l *Learner) room(s *set, got []nft.Member, there map[netip.Addr]bool, n int) (gone []nft.Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	known := map[netip.Addr]bool{}
	for _, m := range s.book.Members(now) {
		known[m.Addr] = true
	}
	for _, m := range got { // what others put in goes before what was learned
		if there[m.From] && !known[m.From] && len(gone) < n {
			gone = append(gone, m)
		}
	}
	if left := n - len(gone); left > 0 {
		for _, addr := range s.book.Shrink(s.book.Len() - left) {
			if there[addr] {
				gone = append(gone, nft.Member{From: addr, To: addr})
			}
		}
	}
	return gone
}

// sign shows that the learner is alive, if the reader is.
func (l *Learner) sign() {
	l.mu.Lock()
	ready := l.topic != nil && !l.topic.empty() && l.next != nil && l.next == l.listener
	l.mu.Unlock()
	now := time.Now()
	if !ready || !l.pace.well() {
		return
	}
	if now.Sub(time.Unix(0, l.seen.Load())) > 2*glance+tooLate {
		l.pace.stumble()
		return
	}
	// The old sign is taken out where it is still there for certain.
	sure := now.Before(l.beating.Add(aliveFor - beat))
	err := l.beat(sure)
	if errors.Is(err, unix.ENOENT) && sure {
		err = l.beat(false)
	}
	switch {
	case err == nil:
		l.beating = now
	case !errors.Is(err, unix.ENOENT): // without the set no packet comes
		l.fail(err)
	}
}

// silence takes the sign of life away, so that no more packets come.
func (l *Learner) silence() {
	_ = l.conn.Silence() // it is gone, or will be in a moment
	nft.AwaitPackets()
}

func (t *topic) empty() bool { return t.names == nil || t.names.Empty() }
