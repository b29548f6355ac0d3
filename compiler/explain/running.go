package explain

import (
	"fmt"

	"pbr/compiler/policy"
)

// Opening returns the connection that a question's packet would open; false unless the question
// has its addresses and both ports.
func (q *Question) Opening() (Connection, bool) {
	p := &q.packet
	return Connection{Src: p.Src, Dst: p.Dst, Proto: p.Proto, SPort: p.SPort, DPort: p.DPort, HasPorts: true},
		policy.HasPorts(p.Proto) && p.Src.IsValid() && !p.AnySPort && !p.AnyDPort
}

// Tracked tells a question that its packet is of a connection which the kernel tracks, with a mark.
// A question for a new connection gets a note. One for an established connection takes the pin from
// the mark, unless it names one.
func (x *Explainer) Tracked(q *Question, mark uint32) {
	state := "without a mark"
	switch pin := mark & x.plan.NumberMask(); {
	case pin != 0 && x.pinnedTo(mark) == nil:
		state = fmt.Sprintf("with mark %#08x, which is no uplink's", mark)
	case pin != 0:
		state = "pinned to " + x.pinnedTo(mark).Name + ", where it stays"
	}
	switch {
	case !q.established:
		q.notes = append(q.notes, "this connection exists already, "+state+": --state established shows its path")
	case q.pinned == "":
		q.notes = append(q.notes, "this connection is in conntrack, "+state)
		q.pinned, q.mark = x.markName(mark&x.plan.NumberMask()), mark
		if mark&x.plan.NumberMask() == 0 {
			q.pinned = ""
		}
	}
}
