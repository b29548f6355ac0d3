package nft

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// The elements of a very long list are a long transaction, in which nobody else can change
// anything: 300,000 intervals take the kernel a second, and a busy machine several. Nothing leads
// packets to a set before the rules that do are there, so it can be filled bit by bit, and other
// changes go ahead in between. Such a staged set is none of the table's until Apply takes it over:
// Read does not see it.

const (
	// stageFrom is how many elements a set has to get for it to be staged.
	stageFrom = 20_000
	// Of them as many are sent at once as the kernel takes in stageTime, within these bounds: each
	// transaction costs by the size of the set, too.
	stageLeast, stageMost = 2_000, 16_000
	stageTime             = 50 * time.Millisecond
)

// Staged is a set that is being made beside the table's.
type Staged struct {
	set *plan.Set
	// kernel is its name there.
	kernel string
	// made reports whether it is there, sent how many of its elements are.
	made bool
	sent int
	// size is how many are sent next.
	size int
}

// Done reports whether all of it was sent.
func (s *Staged) Done() bool { return s.made && s.sent == len(s.set.Elements) }

// ToStage returns the sets of want that take long to make from live, to be staged.
func (c *Conn) ToStage(live *Live, want *plan.Ruleset) (list []*Staged) {
	if !live.exists || live.rebuild {
		return nil
	}
	for _, ch := range plan.Diff(&plan.Plan{Ruleset: live.Ruleset}, &plan.Plan{Ruleset: *want}).Sets {
		w := ch.Want
		if w == nil || w.Map || w.Dynamic || w.RunTime || len(w.Concat) > 0 || checkElements(w) != nil ||
			findSet(&live.Ruleset, w.Name+bCopySuffix) != nil {
			continue
		}
		isNew := ch.Have == nil || ch.Rebuild
		if isNew && len(w.Elements) >= stageFrom || len(ch.Add) >= stageFrom {
			list = append(list, &Staged{set: w, size: stageLeast,
				kernel: kernelSet(map[string]bool{w.Name: ch.Have != nil && !live.bCopies[w.Name]}, w.Name)})
		}
	}
	return list
}

// Stage sends the next part of a set. Generation is the one that is changed, ErrChanged says that
// it is not.
func (c *Conn) Stage(s *Staged, generation uint32) (next uint32, err error) {
	moment := c.Ledger.hold()
	defer moment.release()
	generation = moment.latest(generation)
	b := newBatch(generation)
	if !s.made {
		b.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE|unix.NLM_F_EXCL, operation{verb: "adding", object: "set", name: s.kernel})
		b.str(unix.NFTA_SET_TABLE, plan.TableName)
		b.str(unix.NFTA_SET_NAME, s.kernel)
		if err := setAttrs(&b.writer, s.set); err != nil {
			return generation, fmt.Errorf("adding set %s: %w", s.kernel, err)
		}
		b.setLength()
	}
	end := min(s.sent+s.size, len(s.set.Elements))
	b.elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, s.kernel, s.set, s.set.Elements[s.sent:end], nil)
	if c.staged == nil {
		c.staged = map[string]*Staged{}
	}
	c.staged[s.kernel] = s // also where it is not known whether the kernel has done it
	began := time.Now()
	if _, err := c.commit(b); err != nil {
		if !s.made && errors.Is(err, ErrChanged) {
			delete(c.staged, s.kernel)
		}
		return generation, err
	}
	s.made, s.sent = true, end
	s.adapt(time.Since(began))
	next = nextGeneration(generation)
	moment.begin(next)
	return next, nil
}

// adapt chooses how much is sent next by how long the last part took.
func (s *Staged) adapt(took time.Duration) {
	switch {
	case took < stageTime/2:
		s.size = min(2*s.size, stageMost)
	case took > stageTime:
		s.size = max(s.size/2, stageLeast)
	}
}

// Staging reports whether there are staged sets.
func (c *Conn) Staging() bool { return len(c.staged) > 0 }

// Unstage removes the staged sets that no Apply has taken over.
func (c *Conn) Unstage() error {
	for _, kernel := range slices.Sorted(maps.Keys(c.staged)) {
		b := newBatch(0) // whatever the generation is
		b.deleteNamed(unix.NFT_MSG_DELSET, "set", unix.NFTA_SET_NAME, kernel, true)
		if _, err := c.commit(b); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("removing what was prepared: %w", err)
		}
		delete(c.staged, kernel)
	}
	return nil
}

// takeStaged finds the staged sets that are what the edit makes again, and returns the names of the
// sets. Each of them is made beside the old one.
func (c *Conn) takeStaged(live *Live, changes *plan.Changes) map[string]bool {
	var taken map[string]bool
	if !live.exists {
		return nil // they went with the table
	}
	for i := range changes.Sets {
		ch := &changes.Sets[i]
		if ch.Want == nil {
			continue
		}
		kernel := kernelSet(map[string]bool{ch.Want.Name: ch.Have != nil && !live.bCopies[ch.Want.Name]}, ch.Want.Name)
		s := c.staged[kernel]
		if s == nil || !s.Done() || !plan.SameSet(s.set, ch.Want) {
			continue
		}
		if taken == nil {
			taken = map[string]bool{}
		}
		taken[ch.Want.Name] = true
	}
	return taken
}

// forgetStaged notes that what an edit took over is the table's now, or gone.
func (c *Conn) forgetStaged(e *edit) {
	for name := range e.staged {
		delete(c.staged, kernelSet(e.bCopies, name))
	}
}
