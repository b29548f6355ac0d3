package members

import (
	"container/heap"
	"net/netip"
	"slices"
	"time"

	"pbr/compiler/sorting"
	"pbr/kernel/nft"
)

// Flatten returns elements without overlaps that together have every address of the members of one
// IP version. An address stays as long as the longest of its members.
func Flatten(list []Member, now time.Time) (out []nft.Member) {
	sorted := slices.Clone(list)
	sorting.Func(sorted, func(a, b Member) int { return a.From.Compare(b.From) })
	open := &byTime{now: now}
	var last *Member // -- the member of the last piece
	emit := func(m *Member, piece nft.Member) {
		if n := len(out); n > 0 && last == m && out[n-1].To.Next() == piece.From {
			out[n-1].To = piece.To
			return
		}
		last = m
		out = append(out, piece)
	}
	for i := 0; i < len(sorted) || open.Len() > 0; {
		if open.Len() == 0 {
			heap.Push(open, &sorted[i])
			open.at = sorted[i].From
			i++
			continue
		}
		top := open.list[0]
		if top.To.Less(open.at) {
			heap.Pop(open)
			continue
		}
		if i < len(sorted) && sorted[i].From == open.at {
			heap.Push(open, &sorted[i])
			i++
			continue
		}
		piece := nft.Member{From: open.at, To: top.To, Timeout: top.Timeout}
		if top.Timeout > 0 {
			piece.Expires = top.Left(now)
		}
		if i < len(sorted) && !top.To.Less(sorted[i].From) {
			piece.To = sorted[i].From.Prev()
		}
		emit(top, piece)
		if open.at = piece.To.Next(); !open.at.IsValid() {
			return out // that was the last address
		}
	}
	return out
}

// byTime is a heap of members; the one that stays longest comes first.
type byTime struct {
	now  time.Time
	list []*Member
	// at is the next address.
	at netip.Addr
}

func (h *byTime) Len() int           { return len(h.list) }
func (h *byTime) Less(i, j int) bool { return h.list[i].Left(h.now) > h.list[j].Left(h.now) }
func (h *byTime) Swap(i, j int)      { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *byTime) Push(x any)         { h.list = append(h.list, x.(*Member)) }

// Pop removes the last one.
func (h *byTime) Pop() any {
	n := len(h.list) - 1
	m := h.list[n]
	h.list = h.list[:n]
	return m
}
