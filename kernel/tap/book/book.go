// Package book remembers which addresses DNS answers taught to a list, by which name and until
// when. It is bounded, and knows no kernel.
package book

import (
	"container/heap"
	"net/netip"
	"time"

	"pbr/compiler/sorting"
)

// slack is how much longer than asked a member stays: an answer that comes within that time changes
// nothing, so that a name that is asked for all the time costs little. It is a part of the time
// asked for, and at least leastSlack.
const (
	slackPart  = 64
	leastSlack = time.Second
)

// margin is how long before its end a member no longer counts as surely there: the kernel's clock
// decides.
const margin = 2 * time.Second

// Member is an address of a list.
type Member struct {
	Addr netip.Addr
	// Name is the name that was asked for when the address came last; empty if that is not known.
	Name string
	// End is when the member leaves the list; zero is never.
	End time.Time
}

// Change is what has to be done to a set for one answer.
type Change struct {
	Addr netip.Addr
	// Remove means that the address is in the set and has to be taken out, Add that it has to be
	// put in, for Life.
	Remove, Add bool
	Life        time.Duration
}

// Book has the members of one list and IP version. It is for one goroutine at a time.
type Book struct {
	size    int
	members map[netip.Addr]*entry
	// ends has the same, the one that ends first in front.
	ends ends
}

type entry struct {
	Member
	place int
}

// New returns an empty Book for at most size members.
func New(size int) *Book { return &Book{size: max(size, 1), members: map[netip.Addr]*entry{}} }

// Len is how many members there are, those whose time is over included.
func (b *Book) Len() int { return len(b.members) }

// Teach notes that an address, which a name led to, is to stay for a time from now on. It appends
// what has to change in the kernel: nothing if the member stays that long anyway. Those that would
// leave first make room for new ones.
func (b *Book) Teach(to []Change, now time.Time, addr netip.Addr, name string, life time.Duration) []Change {
	b.expire(now)
	e := b.members[addr]
	if e != nil && (e.End.IsZero() || !e.End.Before(now.Add(life))) {
		e.Name = name
		return to
	}
	life += max(life/slackPart, leastSlack)
	if e != nil {
		sure := b.sure(e, now)
		e.Name, e.End = name, now.Add(life)
		heap.Fix(&b.ends, e.place)
		return append(to, Change{Addr: addr, Remove: sure, Add: true, Life: life})
	}
	for len(b.members) >= b.size {
		to = b.evict(to, now)
	}
	b.put(Member{addr, name, now.Add(life)})
	return append(to, Change{Addr: addr, Add: true, Life: life})
}

// evict takes out the member that leaves first, except for those that are about to: whether these
// are still there is not certain, and a removal of what is gone would be refused.
func (b *Book) evict(to []Change, now time.Time) []Change {
	var leaving []*entry
	for len(b.ends) > 0 && !b.sure(b.ends[0], now) {
		leaving = append(leaving, heap.Pop(&b.ends).(*entry))
	}
	var oldest *entry
	if len(b.ends) > 0 {
		oldest = b.ends[0]
		to = append(to, Change{Addr: oldest.Addr, Remove: true})
	}
	for _, e := range leaving {
		heap.Push(&b.ends, e)
	}
	if oldest == nil {
		oldest = b.ends[0]
	}
	b.drop(oldest)
	return to
}

// sure reports whether a member is in the set for certain.
func (b *Book) sure(e *entry, now time.Time) bool {
	return e.End.IsZero() || e.End.After(now.Add(margin))
}

// Adopt notes that the set has an address for good that is to stay for a time only, and returns how
// long it stays: as answers said, or for that time.
func (b *Book) Adopt(now time.Time, addr netip.Addr, stay time.Duration) time.Duration {
	b.expire(now)
	e := b.members[addr]
	if e == nil {
		b.put(Member{Addr: addr, End: now.Add(stay)})
		return stay
	}
	if e.End.IsZero() {
		e.End = now.Add(stay)
		heap.Fix(&b.ends, e.place)
	}
	return max(e.End.Sub(now), time.Second)
}

// Shrink takes out the members that would leave first, so that at most n are left.
func (b *Book) Shrink(n int) (gone []netip.Addr) {
	for len(b.members) > max(n, 0) {
		gone = append(gone, b.ends[0].Addr)
		b.drop(b.ends[0])
	}
	return gone
}

// Forget takes a member out: the kernel did not take it.
func (b *Book) Forget(addr netip.Addr) {
	if e := b.members[addr]; e != nil {
		b.drop(e)
	}
}

// Set makes members those that the kernel has. The names of addresses that are known stay.
func (b *Book) Set(members []Member) {
	old := b.members
	b.members, b.ends = make(map[netip.Addr]*entry, len(members)), b.ends[:0]
	for _, m := range members {
		if e := old[m.Addr]; e != nil && m.Name == "" {
			m.Name = e.Name
		}
		if b.members[m.Addr] == nil {
			b.put(m)
		}
	}
}

// Resize changes how many members there may be. Those that are too many go when the next one comes.
func (b *Book) Resize(size int) { b.size = max(size, 1) }

// Has reports whether an address is a member, as far as is known.
func (b *Book) Has(addr netip.Addr) bool { return b.members[addr] != nil }

// Name is the name that led to an address, empty if none did.
func (b *Book) Name(addr netip.Addr) string {
	if e := b.members[addr]; e != nil {
		return e.Name
	}
	return ""
}

// Members lists those whose time is not over, by address.
func (b *Book) Members(now time.Time) []Member {
	b.expire(now)
	out := make([]Member, 0, len(b.members))
	for _, e := range b.members {
		out = append(out, e.Member)
	}
	sorting.Func(out, func(a, b Member) int { return a.Addr.Compare(b.Addr) })
	return out
}

func (b *Book) expire(now time.Time) {
	for len(b.ends) > 0 && !b.ends[0].End.IsZero() && !b.ends[0].End.After(now) {
		b.drop(b.ends[0])
	}
}

func (b *Book) put(m Member) {
	e := &entry{Member: m}
	b.members[m.Addr] = e
	heap.Push(&b.ends, e)
}

func (b *Book) drop(e *entry) {
	heap.Remove(&b.ends, e.place)
	delete(b.members, e.Addr)
}

// ends is a heap of members by their end.
type ends []*entry

func (h ends) Len() int { return len(h) }

func (h ends) Less(i, j int) bool {
	a, b := h[i].End, h[j].End
	if a.IsZero() || b.IsZero() {
		return !a.IsZero()
	}
	return a.Before(b)
}

func (h ends) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *ends) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

func (h *ends) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
