package adopt

import (
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// leaving is a packet's last look at the table: by which interface, and with which mark.
type leaving struct {
	oif  string
	mark uint32
}

// leaveBy returns the mark that a new connection gets whose first packet leaves by an interface
// with a mark; 0 for none.
func (j *Judge) leaveBy(oif string, mark uint32) uint32 {
	at := leaving{oif, mark}
	pin, known := j.pins[at]
	if !known {
		for _, o := range j.table.through(j.table.post, somePacket(plan.IPv4, oif, mark), everythingKnown) {
			pin = o.CTMark & j.plan.Mask
		}
		j.pins[at] = pin
	}
	return pin
}

// strict reports whether the table of a packet's mark is strict: connections are pinned in another
// way than others that leave by the same uplink, or not at all, so that they stay unreachable
// without it.
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

// pinsStrictly reports whether an unmarked packet that leaves by an uplink has its connection
// pinned to a strict table.
func (j *Judge) pinsStrictly(u *uplink) bool {
	pin := j.leaveBy(u.iface, 0)
	return pin != 0 && pin != u.mark
}

// anyMark returns a mark that policies may give and that leaves connections on whatever uplink they
// are; 0 if they may give none.
func (j *Judge) anyMark(outcomes []walk.Outcome) (mark uint32) {
	for _, o := range outcomes {
		m := o.Mark & j.plan.Mask
		if m == 0 {
			return 0
		}
		if !j.strict(m) {
			mark = m
		}
	}
	return mark
}
