package nft

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// Apply turns live into want by what differs, plan.Diff's changes, in one transaction: all of it is
// done, or nothing. Where there are new sets another one makes them before, in which nothing leads
// packets to them, and which is taken back if the former fails; what they replace goes afterwards.
// Without changes nothing is sent. It returns the table as it is now. ErrChanged means that live is
// out of date.
func (c *Conn) Apply(live *Live, want *plan.Ruleset, changes *plan.Changes) (*Live, error) {
	if !changes.Ruleset() {
		return live, nil
	}
	s := c.Ledger.hold()
	live.Generation = s.latest(live.Generation)
	next, again, err := c.applyOnce(live, want, changes)
	if err == nil {
		s.begin(next.Generation)
	} else if now, failed := c.Generation(); errors.Is(err, ErrChanged) && failed == nil {
		s.begin(now) // somebody else changed it, whatever the ledger said
	}
	s.release()
	switch {
	case err != nil:
		return nil, err
	case again.late != nil:
		return c.readLeftover(want, again.late)
	case again.handles:
		return c.readAfter(want)
	}
	return next, nil
}

// again says why the table has to be read after a change: the old sets could not be removed, or
// handles are not known.
type again struct {
	late    error
	handles bool
}

func (c *Conn) applyOnce(live *Live, want *plan.Ruleset, changes *plan.Changes) (next *Live, a again, err error) {
	b := newBatch(live.Generation)
	before := live
	if live.exists && (live.rebuild || want.Empty()) {
		b.deleteNamed(unix.NFT_MSG_DELTABLE, "table inet", unix.NFTA_TABLE_NAME, plan.TableName, false)
		live = &Live{Generation: live.Generation, identity: live.identity}
		changes = plan.Diff(&plan.Plan{}, &plan.Plan{Ruleset: *want})
	}
	inherited, err := c.inherit(before, changes)
	if err != nil {
		return nil, a, err
	}
	e := newEdit(b, live, want, changes, inherited, c.takeStaged(live, changes))
	if e.counts, err = c.leavingCounts(e); err != nil {
		return nil, a, err
	}
	if err := e.write(); err != nil {
		return nil, a, err
	}
	next = e.result()
	var early, main answer
	if e.early != nil && e.early.empty() { // all that would be in it is staged
		b.setGeneration(live.Generation)
	} else if e.early != nil {
		if early, err = c.commit(e.early); err != nil {
			return nil, a, err
		}
		next.Generation = nextGeneration(next.Generation)
	}
	if !b.empty() {
		if main, err = c.commit(b); err != nil && e.early != nil {
			err = e.abandon(c.socket, err)
			c.forgetStaged(e)
			return nil, a, err
		} else if err != nil {
			return nil, a, err
		}
		next.Generation = nextGeneration(next.Generation)
	}
	c.forgetStaged(e)
	if e.late != nil {
		AwaitPackets()
		if _, err := c.commit(e.late); err != nil {
			a.late = err
			return next, a, nil
		}
		next.Generation = nextGeneration(next.Generation)
	}
	a.handles = !e.giveHandles(next, early, main)
	return next, a, nil
}

// readAfter reads what was just written, for the handles that the answer did not tell.
func (c *Conn) readAfter(want *plan.Ruleset) (*Live, error) {
	live, err := c.Read(want)
	if err != nil {
		return nil, fmt.Errorf("the table is changed, reading it back failed: %w", err)
	}
	return live, nil
}

// readLeftover reads a table that holds what it should, and beside it what that replaced, because
// of err.
func (c *Conn) readLeftover(want *plan.Ruleset, err error) (*Live, error) {
	live, readErr := c.readAfter(want)
	if readErr == nil {
		live.Leftover = fmt.Errorf("removing what was replaced: %w", err)
	}
	return live, readErr
}

// result is the table after the transaction.
func (e *edit) result() *Live {
	next := &Live{Ruleset: *e.want, Generation: e.live.Generation, identity: e.live.identity, Traced: e.live.Traced,
		exists: !e.want.Empty(), irregular: map[string]bool{}, bCopies: e.bCopies}
	next.Ruleset.Foreign = nil
	next.pieces = e.keptPieces()
	for name := range e.live.irregular {
		if !e.remade[key{"set", name}] && !e.swapped[name] {
			next.irregular[name] = true
		}
	}
	return next
}

// keptPieces are the parts of the snapshot that the change leaves as they are.
func (e *edit) keptPieces() pieces {
	old := &e.live.pieces
	var p pieces
	if len(e.changes.Counters) == 0 {
		p.counters = old.counters
	}
	p.elements = maps.Clone(old.elements)
	for i := range e.sets {
		if w := e.sets[i].Want; w != nil {
			delete(p.elements, w.Name)
		}
	}
	p.rules = make([][][]byte, len(e.chains))
	for i := range e.chains {
		ce := &e.chains[i]
		switch {
		case ce.live < 0 || ce.live >= len(old.rules):
		case ce.keep == nil:
			p.rules[i] = old.rules[ce.live]
		default:
			list := make([][]byte, len(ce.keep))
			for j, k := range ce.keep {
				if k >= 0 {
					list[j] = old.rule(ce.live, k)
				}
			}
			p.rules[i] = list
		}
	}
	return p
}

// giveHandles fills in the handles. Those of kept rules are known. New rules get consecutive ones
// in the order of their messages, which the kernel's answers to the first and last message of
// either transaction prove.
func (e *edit) giveHandles(next *Live, early, main answer) bool {
	if e.early != nil && !early.proves(e.early) || !main.proves(e.b) {
		return false
	}
	next.handles = make([][]uint64, len(e.want.Chains))
	for i := range e.chains {
		ce := &e.chains[i]
		if ce.keep == nil {
			next.handles[i] = ce.handles
			continue
		}
		handle := &main.first
		if ce.early {
			handle = &early.first
		}
		list := make([]uint64, len(ce.keep))
		for j, k := range ce.keep {
			if k >= 0 {
				list[j] = ce.handles[k]
				continue
			}
			list[j] = *handle
			*handle++
		}
		next.handles[i] = list
	}
	return true
}

// proves reports whether the batch's new rules got consecutive handles.
func (a answer) proves(b *batch) bool {
	return b.newRules == 0 || a.first != 0 && a.last-a.first == uint64(b.newRules-1)
}

func sortedNames(m map[string]bool) string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
