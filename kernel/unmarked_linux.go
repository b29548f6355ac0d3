package kernel

import (
	"errors"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"

	"pbr/kernel/conntrack"
	"pbr/kernel/route"
)

// lateLooks are the pauses before each look for connections that answers still under way have begun
// in the place of deleted ones: packets from inside would belong to them, and go where those went.
// Each look deletes such a connection, until a packet from inside comes before the next answer.
var lateLooks = []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond,
	80 * time.Millisecond, 160 * time.Millisecond, 320 * time.Millisecond}

// flushUnmarked deletes the connections of primary uplinks that default has left.
func flushUnmarked(left []Unmarked) (n int, err error) {
	if len(left) == 0 {
		return 0, nil
	}
	err = withRouted(func(c *netlink.Conn, r *routedFlows) error {
		var gone []flushed
		for i := range left {
			u := &left[i]
			flows, err := conntrack.List(c, conntrack.Unmarked(u.Mask))
			if err != nil {
				return err
			}
			found := r.among(flows, u, u.left)
			removed, err := conntrack.RemoveEach(c, found)
			if n += removed; err != nil {
				return err
			}
			for _, f := range found {
				if u.left(r.wayOf(f, false)) { // -- from inside; others begin again by themselves
					gone = append(gone, flushed{f, answersTo(f)})
				}
			}
		}
		return sweepNow(c, lateAnswers{}.with(gone, time.Now().Add(lateTime)))
	})
	return n, err
}

// sweepNow deletes the connections that late answers begin within a moment.
func sweepNow(c *netlink.Conn, late lateAnswers) error {
	if len(late) == 0 {
		return nil
	}
	for _, pause := range lateLooks {
		time.Sleep(pause)
		flows, err := conntrack.List(c, conntrack.All())
		if err != nil {
			return err
		}
		var begun []*conntrack.Flow
		for _, f := range late.among(flows) {
			begun = append(begun, f.Flow)
		}
		if _, err := conntrack.RemoveEach(c, begun); err != nil {
			return err
		}
	}
	return nil
}

// pinUnmarked gives the connections of primary uplinks that default is about to leave a mark.
func pinUnmarked(pins []UnmarkedPin) (n int, err error) {
	if len(pins) == 0 {
		return 0, nil
	}
	err = withRouted(func(c *netlink.Conn, r *routedFlows) error {
		for i := range pins {
			p := &pins[i]
			flows, err := conntrack.List(c, conntrack.Unmarked(p.Mask))
			if err != nil {
				return err
			}
			var marks []conntrack.Marking
			for _, f := range r.among(flows, &p.Unmarked, p.stays) {
				marks = append(marks, conntrack.Marking{Flow: f, Bits: p.Mark, Mask: p.Mask})
			}
			marked, err := conntrack.SetMarks(c, marks)
			if n += marked; err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// withRouted calls do with connections of its own to the kernel, so that it may run concurrently
// with everything else.
func withRouted(do func(*netlink.Conn, *routedFlows) error) error {
	rt, err := route.Open()
	if err != nil {
		return err
	}
	defer rt.Close()
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	r := &routedFlows{way: rt.Way, local: map[netip.Addr]bool{}, ways: map[route.Query]route.Way{}}
	byLink, err := rt.Addresses()
	if err != nil {
		return err
	}
	for _, addrs := range byLink {
		for _, a := range addrs {
			r.local[a] = true
		}
	}
	return errors.Join(do(c, r), r.err)
}
