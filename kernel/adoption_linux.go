package kernel

import (
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"

	"pbr/kernel/adopt"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// adoptRounds is how often connections are looked at again because the last look changed some:
// meanwhile a packet that was on its way when the table came may have made another one.
const adoptRounds = 3

// answerTime is how long the next packet from inside is waited for, while answers to what was
// flushed are dropped. Keep-alives and timers of a second are common, and a round trip by satellite
// takes 0.6 s.
const answerTime = 1300 * time.Millisecond

// streamTime is between the packets of a far end that sends on and on, whose next one begins a
// connection that the next look finds.
const streamTime = 100 * time.Millisecond

// lateTime is how long an answer may be late, and is still known as one.
const lateTime = 2 * time.Minute

// adopt decides on the connections that are older than the table, which is in force. It never fails
// the apply: what cannot be done becomes a warning, and is tried again by the next one.
func (a *application) adopt() {
	a.step("adopt connections")
	err := a.tryAdopt()
	if a.unadopted = err != nil; a.unadopted {
		a.report.Warnings = append(a.report.Warnings, fmt.Sprintf("connections that are older than the table: %v; \"pbr apply\" tries again", err))
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
	decided := map[string]bool{}
	for range adoptRounds {
		nft.AwaitPackets()
		flows, err := conntrack.List(c, conntrack.All())
		if err != nil || len(flows) == 0 {
			return err
		}
		if judge == nil {
			if judge, err = a.judge(&unanswered); err != nil {
				return err
			}
		}
		todo := decide(judge, flows, decided)
		todo.flush = append(todo.flush, a.late.among(flows)...)
		changed, err := a.carryOut(c, todo)
		if err = errors.Join(err, unanswered); err != nil || !changed {
			return err
		}
	}
	return nil
}

// sweepLate deletes the connections that were begun by an answer to one that an earlier apply of
// this process flushed: what answers later than answerTime was not dropped.
func (a *application) sweepLate() error {
	if len(a.late) == 0 {
		return nil
	}
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	flows, err := conntrack.List(c, conntrack.All())
	if err != nil {
		return err
	}
	begun := a.late.among(flows)
	a.late.forget(time.Now())
	if len(begun) == 0 {
		return nil
	}
	return a.flushOld(c, begun)
}

// judge returns one that knows the machine as it is now. What the kernel does not answer it notes
// in unanswered, and counts as no way.
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

// decisions are what is to be done with connections.
type decisions struct {
	flush []flushed
	pin   []pinnedFlow
}

type pinnedFlow struct {
	*conntrack.Flow
	mark uint32
}

// decide decides on the connections that were not decided on yet.
func decide(judge *adopt.Judge, flows []conntrack.Flow, decided map[string]bool) (todo decisions) {
	for i := range flows {
		f := &flows[i]
		if decided[f.Key()] {
			continue
		}
		decided[f.Key()] = true
		switch v := judge.Decide(f); {
		case v.Delete:
			todo.flush = append(todo.flush, flushed{f, lateAnswer{f.Reply, f.Orig}})
		case v.Pin != 0:
			todo.pin = append(todo.pin, pinnedFlow{f, v.Pin})
		}
	}
	return todo
}

// carryOut reports whether it changed any connection.
func (a *application) carryOut(c *netlink.Conn, todo decisions) (changed bool, err error) {
	if len(todo.flush) > 0 {
		if err := a.flushOld(c, todo.flush); err != nil {
			return false, err
		}
	}
	var marks []conntrack.Marking
	for _, p := range todo.pin {
		if p.Mark&a.want.Mask != p.mark {
			marks = append(marks, conntrack.Marking{Flow: p.Flow, Bits: p.mark, Mask: a.want.Mask})
		}
	}
	n, err := conntrack.SetMarks(c, marks)
	a.report.Adopted += n
	return n > 0 || len(todo.flush) > 0, err
}

// flushOld deletes connections. An answer to one of them would begin a connection from outside,
// which the next packet from inside would belong to, and follow past every policy. So answers are
// dropped for as long as that packet may take.
func (a *application) flushOld(c *netlink.Conn, flows []flushed) error {
	list, answers := make([]*conntrack.Flow, len(flows)), make([]conntrack.Tuple, len(flows))
	for i, f := range flows {
		list[i], answers[i] = f.Flow, f.arrives
	}
	dropping := withoutAnswers(a.want.Ruleset, answers)
	if err := a.transact(&dropping); err != nil {
		return err
	}
	a.late = a.late.with(flows, time.Now().Add(lateTime))
	n, err := conntrack.RemoveEach(c, list)
	a.report.Flushed += n
	if err == nil {
		a.pause(answerTime)
	}
	err = errors.Join(err, a.dropNoLonger())
	a.pause(streamTime)
	return err
}

// pause waits, but not for an apply that is to end.
func (a *application) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-a.ctx.Done():
	}
}

// dropNoLonger makes the ruleset that of the plan again.
func (a *application) dropNoLonger() error {
	defer func() {
		a.saveSnapshot(a.live)
		a.remember(a.want, a.owned, a.live, true)
	}()
	return a.transact(&a.want.Ruleset)
}
