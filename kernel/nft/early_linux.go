package nft

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// New rules are seen by packets a little before what is in a new set: the kernel puts the rules of
// a transaction in force, then its elements one after the other (nf_tables_commit; measured on
// 6.18: 120 us in which a map of 2,000 elements is empty). So what is new comes in a transaction of
// its own, in which nothing leads packets to it, and the next one only leads them there. A packet
// that is on its way through the old rules meanwhile would find the elements of a deleted map gone:
// what goes does so in a third one, when all such packets are through. A set that is recreated has
// to have another name meanwhile: each has two, and goes from one to the other.

// bCopySuffix is the suffix of a set's B copy. No name of a policy's object has a slash, and none
// that the compiler makes ends like this.
const bCopySuffix = "/alt"

// kernelSet is the kernel's name of a set, of which second reports whether it is the second.
func kernelSet(second map[string]bool, name string) string {
	if second[name] {
		return name + bCopySuffix
	}
	return name
}

// planSet is the opposite of kernelSet. A set under the name that is not in use keeps that.
func planSet(second map[string]bool, kernel string) string {
	if name, ok := strings.CutSuffix(kernel, bCopySuffix); ok && second[name] {
		return name
	}
	return kernel
}

// nameSets gives B copies the plain name of their set. If both copies exist, the B copy was left by
// an interrupted change, and counts as foreign.
func nameSets(sets []plan.Set) (second map[string]bool) {
	second = map[string]bool{}
	names := make(map[string]bool, len(sets))
	for i := range sets {
		names[sets[i].Name] = true
	}
	for i := range sets {
		if name, ok := strings.CutSuffix(sets[i].Name, bCopySuffix); ok && !names[name] {
			sets[i].Name, second[name] = name, true
		}
	}
	return second
}

// canSwap reports whether a set can be rebuilt next to the old one. What packets have put in would
// be lost in any case, and others know a run-time set by its name.
func (e *edit) canSwap(ch *plan.SetChange) bool {
	return ch.Want != nil && !ch.Want.Dynamic && !ch.Want.RunTime && !e.goesToReplaced(ch.Want) && !e.goesToReplaced(ch.Have) &&
		findSet(&e.live.Ruleset, ch.Have.Name+bCopySuffix) == nil
}

// planNames decides by which name the kernel has each set afterwards.
func (e *edit) planNames() {
	for name := range e.live.bCopies {
		if findSet(e.want, name) != nil && !e.replaced[key{"set", name}] {
			e.bCopies[name] = true
		}
	}
	for name := range e.swapped {
		if e.bCopies[name] {
			delete(e.bCopies, name)
		} else {
			e.bCopies[name] = true
		}
	}
}

// planEarly decides whether there is a transaction before the one that changes where packets go.
func (e *edit) planEarly() {
	needed := slices.ContainsFunc(e.sets, func(ch plan.SetChange) bool {
		return ch.Want != nil && !e.staged[ch.Want.Name] &&
			len(ch.Want.Elements)+len(ch.Want.Tuples)+len(e.inherited[ch.Want.Name]) > 0 && e.besideOld(&ch)
	})
	if !e.live.exists || !needed && len(e.swapped) == 0 {
		return
	}
	e.early = newBatch(e.live.Generation)
	*e.b = *newBatch(nextGeneration(e.live.Generation))
	if len(e.swapped) > 0 {
		e.late = newBatch(0) // whatever the generation is
	}
	isNew := map[string]bool{}
	for i := range e.changes.Chains {
		if ch := &e.changes.Chains[i]; isNewTarget(ch) {
			isNew[ch.Want.Name] = true
		}
	}
	for i := range e.chains {
		ce := &e.chains[i]
		ce.early = isNew[ce.want.Name] && !slices.ContainsFunc(ce.want.Rules, e.needsMain)
	}
}

// nextGeneration follows a generation; the kernel omits 0 (nf_tables_commit).
func nextGeneration(g uint32) uint32 { return max(g+1, 1) }

// besideOld reports whether a set can be made while the old rules are in force.
func (e *edit) besideOld(ch *plan.SetChange) bool {
	return ch.Have == nil && !e.goesToReplaced(ch.Want) || ch.Have != nil && e.swapped[ch.Have.Name]
}

// isNewTarget reports whether it is a new chain that packets come to only by others' rules.
func isNewTarget(ch *plan.ChainChange) bool { return ch.Have == nil && ch.Want.Hook == "" }

// isEarly reports whether what can be made early is.
func (e *edit) isEarly(can bool) bool { return can && e.early != nil }

// inEarly reports whether the first of the two transactions is being written.
func (e *edit) inEarly() bool { return e.b == e.early && e.early != nil }

// writeEarly fills the first transaction.
func (e *edit) writeEarly() error {
	main := e.b
	defer func() { e.b = main }()
	e.b = e.early
	e.b.b = slices.Grow(e.b.b, e.size())
	return e.add()
}

// inLate reports whether the second one is.
func (e *edit) inLate() bool { return e.b == e.late && e.late != nil }

// writeLate fills the last transaction.
func (e *edit) writeLate() {
	main := e.b
	e.b = e.late
	e.removeRules()
	e.removeObjects()
	e.b = main
}

// emptiedLate reports whether the rules of a chain that goes stay until all packets are through.
func (e *edit) emptiedLate(ch *plan.ChainChange) bool {
	return e.deletedLate(ch) && !slices.ContainsFunc(ch.Have.Rules, e.needsMain)
}

// deletedLate reports whether a chain does.
func (e *edit) deletedLate(ch *plan.ChainChange) bool {
	return e.late != nil && ch.Want == nil && ch.Have.Hook == ""
}

// setDeletedLate reports whether a set does.
func (e *edit) setDeletedLate(ch *plan.SetChange) bool {
	return e.late != nil && (ch.Want == nil || e.swapped[ch.Have.Name]) && !e.goesToReplaced(ch.Have)
}

// AwaitPackets waits until all packets that are between two rules now are through them: they hold
// an RCU read lock, and this waits for a grace period (membarrier(2), MEMBARRIER_CMD_GLOBAL). A
// kernel without it has none to wait for, or cannot tell.
func AwaitPackets() {
	const global = 1
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0)
}

// abandon removes what the first transaction created, after the second one failed with err.
func (e *edit) abandon(s *socket, err error) error {
	b := newBatch(0) // whatever the generation is
	for i := range e.chains {
		if ce := &e.chains[i]; ce.early && len(ce.want.Rules) > 0 {
			b.flushChain(ce.want.Name)
		}
	}
	for i := range e.sets {
		if ch := &e.sets[i]; ch.Want != nil && e.besideOld(ch) {
			b.deleteNamed(unix.NFT_MSG_DELSET, "set", unix.NFTA_SET_NAME, kernelSet(e.bCopies, ch.Want.Name), true)
		}
	}
	for i := range e.changes.Chains {
		if ch := &e.changes.Chains[i]; isNewTarget(ch) {
			b.deleteNamed(unix.NFT_MSG_DELCHAIN, "chain", unix.NFTA_CHAIN_NAME, ch.Want.Name, true)
		}
	}
	for _, ch := range e.changes.Counters {
		if ch.Have == nil {
			b.deleteObject(unix.NFT_OBJECT_COUNTER, ch.Want.Name)
		}
	}
	if _, undo := s.commit(b); undo != nil {
		return errors.Join(err, fmt.Errorf("taking back what was prepared for it: %w", undo))
	}
	return err
}
