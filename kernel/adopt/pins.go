package adopt

import (
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// leaving is a packet as the table's last chains see it: its output interface and its mark.
type leaving struct {
	oif  string
	mark uint32
}

// leaveBy returns the connection mark that the rules set when a new connection's first packet
// leaves through an interface with a packet mark; 0 if they set none.
func (j *Judge) leaveBy(oif string, mark uint32) uint32 {
	at := leaving{oif, mark}
	pin, known := j.pins[at]
	if !known {
		for _, o := range j.table.through(j.table.post, somePacket(plan.IPv4, oif, mark), everythingKnown) {
			pin = o.CTMark & j.plan.NumberMask()
		}
		j.pins[at] = pin
	}
	return pin
}

// strict reports whether the table of a packet's mark is strict: its connections are then pinned to
// the uplink's strict table, or not pinned at all, so that they are unreachable without that
// uplink.
func (j *Judge) strict(mark uint32) bool {
	if j.tables[mark].Strict {
		return true
	}
	for _, u := range j.uplinks {
		if j.leaveBy(u.iface, mark) != u.mark {
			return true
		}
	}
	return false
}

// pinsStrictly reports whether an unmarked packet that leaves through an uplink has its connection
// pinned to a strict table.
func (j *Judge) pinsStrictly(u *uplink) bool {
	pin := j.leaveBy(u.iface, 0)
	return pin != 0 && pin != u.mark
}

// anyMark returns a mark that policies may set and that leaves connections on the uplink that they
// use; 0 if policies set none.
func (j *Judge) anyMark(outcomes []walk.Outcome) (mark uint32) {
	for _, o := range outcomes {
		m := o.Mark & j.plan.NumberMask()
		if m == 0 {
			return 0
		}
		if !j.strict(m) {
			mark = m
		}
	}
	return mark
}
