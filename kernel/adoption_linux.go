package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mdlayher/netlink"

	"pbr/compiler/sorting"
	"pbr/kernel/adopt"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// adoptRounds is how often connections are examined again because the last round changed some: a
// packet that was on its way when the table was created may have started another one.
const adoptRounds = 3

// answerTime is how long answers to deleted connections are dropped, while the next packet from
// inside is awaited. Keep-alives and timers of a second are common, and a satellite round trip
// takes 0.6 s.
const answerTime = 1300 * time.Millisecond

// streamTime is the time between the packets of a sender that keeps sending; its next packet starts
// a connection that the next round finds.
const streamTime = 100 * time.Millisecond

// expirySlack is by how much conntrack's own clock may differ: it counts seconds, and removes
// connections that have expired some time later.
const expirySlack = 3 * time.Second

// adopt decides about the connections that are older than the table, which is in force. It never
// fails the apply: what cannot be done becomes a warning, and the next apply tries again.
func (a *application) adopt() {
	a.step("adopt connections")
	err := a.tryAdopt()
	if a.unadopted = err != nil; a.unadopted {
		a.report.Warnings = append(a.report.Warnings,
			fmt.Sprintf("connections older than the table were not adopted: %v: \"pbr apply\" tries again", err))
	}
}

func (a *application) tryAdopt() error {
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	var unanswered error
	var judge *adopt.Judge
	decided, awaited := map[string]bool{}, map[string]bool{}
	for range adoptRounds {
		nft.AwaitPackets()
		flows, err := conntrack.List(c, conntrack.All())
		if err != nil || len(flows)+len(a.older) == 0 {
			return err
		}
		if judge == nil {
			if judge, err = a.judge(&unanswered); err != nil {
				return err
			}
		}
		a.report.Adopted += arrived(flows, awaited, a.want.NumberMask())
		todo := decide(judge, flows, decided)
		awaited = keysOf(todo.await)
		a.report.Exposed += todo.exposed
		todo.flush = append(todo.flush, a.superseded(judge, flows)...)
		changed, err := a.carryOut(c, todo)
		if err = errors.Join(err, unanswered); err != nil || !changed {
			return err
		}
	}
	return nil
}

// listOlder lists the connections before the table is made, for superseded. Without the list only
// connections that apply itself deletes are known to have been there, so an error is none here.
func (a *application) listOlder() {
	if !a.unadopted || a.older != nil {
		return
	}
	if c, err := conntrack.Dial(); err == nil {
		defer c.Close()
		a.older, _ = conntrack.List(c, conntrack.All())
		a.olderAt = time.Now()
	}
}

// superseded returns the connections that answers to deleted connections have begun, and those from
// inside that the kernel has ended since the last list: answers to them may still begin others.
func (a *application) superseded(judge *adopt.Judge, flows []conntrack.Flow) []flushed {
	gone := a.late.ended(a.older, flows, time.Since(a.olderAt)+expirySlack, judge.FromInside)
	a.older, a.olderAt = flows, time.Now()
	return append(gone, a.late.with(gone, time.Now().Add(lateTime)).among(flows)...)
}

// begunLate lists the connections that late answers to deleted ones have begun by now.
func (k *Kernel) begunLate(c *netlink.Conn) ([]flushed, error) {
	flows, err := conntrack.List(c, conntrack.All())
	return k.late.among(flows), err
}

// SweepLate deletes the connections that late answers have begun, and does not wait for packets as
// sweepLate does: an answer that comes meanwhile may begin the next. It returns how many there
// were, and when to look again; 0 for never.
func (k *Kernel) SweepLate() (n int, again time.Duration, err error) {
	k.late.forget(time.Now())
	if again = k.late.nextSweep(time.Now()); again == 0 {
		return 0, 0, nil
	}
	c, err := conntrack.Dial()
	if err != nil {
		return 0, again, err
	}
	defer c.Close()
	begun, err := k.begunLate(c)
	if err != nil || len(begun) == 0 {
		return 0, again, err
	}
	n, err = conntrack.RemoveEach(c, flowsOf(begun))
	return n, firstSweep, err
}

// sweepLate deletes the connections started by answers that arrived later than answerTime, to
// connections that an earlier apply of this process deleted.
func (a *application) sweepLate() error {
	a.late.forget(time.Now())
	if len(a.late) == 0 {
		return nil
	}
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	begun, err := a.begunLate(c)
	if err != nil || len(begun) == 0 {
		return err
	}
	return a.waitForPackets(c, decisions{flush: begun})
}

// flowsOf returns the connections without the answers to them.
func flowsOf(list []flushed) []*conntrack.Flow {
	flows := make([]*conntrack.Flow, len(list))
	for i := range list {
		flows[i] = list[i].Flow
	}
	return flows
}

// judge returns a judge that knows the host as it is now. Questions that the kernel does not answer
// are noted in unanswered, and count as "no route".
func (a *application) judge(unanswered *error) (*adopt.Judge, error) {
	facts := adopt.Facts{Now: time.Now()}
	var err error
	if facts.Addrs, err = a.route.Addresses(); err != nil {
		return nil, err
	}
	if facts.MACs, err = a.route.Neighbours(); err != nil {
		return nil, err
	}
	facts.Way = func(q route.Query) route.Way {
		w, err := a.route.Way(q)
		if err != nil {
			*unanswered = err
		}
		return w
	}
	return adopt.New(a.want, facts)
}

// decisions are the changes to make to connections.
type decisions struct {
	flush []flushed
	pin   []pinnedFlow
	// await are connections from outside that are pinned by their next packet, to one of uplinks.
	await   []*conntrack.Flow
	uplinks map[adopt.Arrival]bool
	// exposed is how many of flush are Exposed.
	exposed int
}

type pinnedFlow struct {
	*conntrack.Flow
	mark uint32
}

// decide decides about the connections that have no decision yet.
func decide(judge *adopt.Judge, flows []conntrack.Flow, decided map[string]bool) (todo decisions) {
	todo.uplinks = map[adopt.Arrival]bool{}
	for i := range flows {
		f := &flows[i]
		if decided[f.Key()] {
			continue
		}
		decided[f.Key()] = true
		switch v := judge.Decide(f); {
		case v.Delete:
			todo.flush = append(todo.flush, flushed{f, answersTo(f)})
			if v.Exposed {
				todo.exposed++
			}
		case v.Pin != 0:
			todo.pin = append(todo.pin, pinnedFlow{f, v.Pin})
		case len(v.Arrivals) > 0:
			todo.await = append(todo.await, f)
			for _, u := range v.Arrivals {
				todo.uplinks[u] = true
			}
		}
	}
	return todo
}

// keysOf returns the keys of connections.
func keysOf(flows []*conntrack.Flow) map[string]bool {
	keys := make(map[string]bool, len(flows))
	for _, f := range flows {
		keys[f.Key()] = true
	}
	return keys
}

// arrived counts the awaited connections that a packet has pinned.
func arrived(flows []conntrack.Flow, awaited map[string]bool, mask uint32) (n int) {
	for i := range flows {
		if flows[i].Mark&mask != 0 && awaited[flows[i].Key()] {
			n++
		}
	}
	return n
}

// carryOut reports whether there was any connection to change; it may have ended since.
func (a *application) carryOut(c *netlink.Conn, todo decisions) (changed bool, err error) {
	if len(todo.flush)+len(todo.await) > 0 {
		if err := a.waitForPackets(c, todo); err != nil {
			return false, err
		}
	}
	var marks []conntrack.Marking
	for _, p := range todo.pin {
		if p.Mark&a.want.NumberMask() != p.mark {
			marks = append(marks, conntrack.Marking{Flow: p.Flow, Bits: p.mark, Mask: a.want.Mask})
		}
	}
	n, err := conntrack.SetMarks(c, marks)
	a.report.Adopted += n
	return len(marks)+len(todo.flush)+len(todo.await) > 0, err
}

// waitForPackets deletes connections, and waits for packets of these and of others.
//
// An answer to a deleted connection would start a connection from outside; the next packet from
// inside would belong to it and bypass every policy. So answers are dropped until that packet has
// had time to come. Meanwhile packets from outside say which uplink their connections came in by.
func (a *application) waitForPackets(c *netlink.Conn, todo decisions) error {
	var answers, awaited []conntrack.Tuple
	for _, f := range todo.flush {
		for _, late := range f.answers {
			answers = append(answers, late.arrives)
		}
	}
	for _, f := range todo.await {
		awaited = append(awaited, f.Orig)
	}
	waiting := a.want.Ruleset
	if len(answers) > 0 {
		waiting = withoutAnswers(waiting, answers)
	}
	if len(awaited) > 0 {
		waiting = withArrivals(waiting, a.want.Mask, todo.arrivals(), awaited)
	}
	if err := a.transact(&waiting, nil); err != nil {
		return err
	}
	a.late = a.late.with(todo.flush, time.Now().Add(lateTime))
	n, err := conntrack.RemoveEach(c, flowsOf(todo.flush))
	a.report.Flushed += n
	if err == nil {
		a.pause(answerTime)
	}
	err = errors.Join(err, a.dropNoLonger())
	a.pause(streamTime)
	return err
}

// arrivals returns the uplinks that awaited connections may come in by, in a fixed order.
func (todo *decisions) arrivals() []adopt.Arrival {
	list := slices.Collect(maps.Keys(todo.uplinks))
	sorting.Func(list, func(a, b adopt.Arrival) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Interface, b.Interface))
	})
	return list
}

// pause waits, unless the apply is being cancelled.
func (a *application) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-a.ctx.Done():
	}
}

// dropNoLonger restores the plan's own ruleset.
func (a *application) dropNoLonger() error {
	defer func() {
		a.saveSnapshot(a.live)
		a.remember(a.want, a.owned, a.live, true)
	}()
	return a.transact(&a.want.Ruleset, nil)
}
