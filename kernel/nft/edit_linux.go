package nft

import (
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// key names an object of the table.
type key struct{ kind, name string }

// edit writes one transaction, or three (see early_linux.go). Removal comes first and in the
// reverse order of making, so that nothing goes that something else still refers to: rules,
// elements, sets, chains, other objects.
type edit struct {
	b *batch
	// early and late are the transactions before and after it, nil for none.
	early, late *batch
	live        *Live
	want        *plan.Ruleset
	changes     *plan.Changes
	enc         ruleEncoder
	// sets are the changes of sets, with Rebuild also where only taking the set away and making it
	// again will do.
	sets []plan.SetChange
	// remade are the objects that are deleted in this transaction, to stay away or to be recreated:
	// whatever refers to them has to be removed and put back as well.
	remade map[key]bool
	// replaced are those of them that are recreated under their name in the same transaction.
	replaced map[key]bool
	// swapped names the sets that are recreated beside the old one, under the other of their two
	// names: rules that use them have to be put in again.
	swapped map[string]bool
	// bCopies names the sets that the kernel has as their B copy afterwards.
	bCopies map[string]bool
	// chains are the wanted chains, as in want.
	chains []chainEdit
	// inherited are the members of run-time sets that are made.
	inherited inheritance
	// counts are what counters and elements that go have counted.
	counts counts
	// staged are the sets that the kernel has already, under the name that they get.
	staged map[string]bool
}

// chainEdit is what happens to one wanted chain.
type chainEdit struct {
	want *plan.Chain
	// live is the index of the live chain, -1 when there is none or it is recreated.
	live int
	// handles are those of the live chain's rules, nil when there is none or it is recreated.
	handles []uint64
	// keep has, for each wanted rule, the index of the live rule that is it, or -1; nil when
	// nothing changes.
	keep []int
	// early means that the chain is filled before the transaction that leads packets to it.
	early bool
}

func newEdit(b *batch, live *Live, want *plan.Ruleset, changes *plan.Changes, inherited inheritance, staged map[string]bool) *edit {
	e := &edit{b: b, live: live, want: want, changes: changes, inherited: inherited, staged: staged,
		remade: map[key]bool{}, replaced: map[key]bool{},
		swapped: map[string]bool{}, bCopies: map[string]bool{}}
	e.enc.sets, e.enc.bCopies = setsByName(want.Sets), e.bCopies
	for _, ch := range changes.Counters {
		if ch.Have != nil {
			e.goes(key{"counter", ch.Have.Name}, ch.Want != nil)
		}
	}
	for _, ch := range changes.Flowtables {
		if ch.Have != nil && (ch.Want == nil || ch.Rebuild) {
			e.goes(key{"flowtable", ch.Have.Name}, ch.Want != nil)
		}
	}
	for _, ch := range changes.Chains {
		if ch.Have != nil && (ch.Want == nil || ch.Rebuild) {
			e.goes(key{"chain", ch.Have.Name}, ch.Want != nil)
		}
	}
	e.planSets()
	e.planNames()
	e.planChains()
	e.planEarly()
	return e
}

// goes notes that an object is deleted, to be recreated if replaced.
func (e *edit) goes(k key, replaced bool) {
	e.remade[k] = true
	if replaced {
		e.replaced[k] = true
	}
}

// manyElements is the number of elements to remove from which on a set of which most changes is
// recreated, which is quicker and leaves the old one whole until the transaction ends.
const manyElements = 1000

// From a map of several intervals the kernel takes an element by moving all of its bitmaps. On
// Linux 6.18 that is 5 ms with 2,000 elements, and 25 ms with 10,000 or 50,000, where adding one
// takes 20 us and a new map 17 us for each. So at most fewTuples are taken out one by one, or one
// in tuplesPerRemoval if that is more.
const (
	fewTuples        = 8
	tuplesPerRemoval = 2000
)

// planSets decides which sets are recreated.
func (e *edit) planSets() {
	e.sets = append(e.sets, e.changes.Sets...)
	changed := make(map[string]bool, len(e.sets))
	for i := range e.sets {
		ch := &e.sets[i]
		if ch.Have != nil && ch.Want != nil {
			changed[ch.Want.Name] = true
			ch.Rebuild = ch.Rebuild || e.live.irregular[ch.Have.Name] || e.staged[ch.Want.Name] ||
				tooManyRemoved(ch) || e.goesToReplaced(ch.Want) || movesTargets(ch)
		}
		switch {
		case ch.Have == nil || ch.Want != nil && !ch.Rebuild:
		case e.canSwap(ch):
			e.swapped[ch.Have.Name] = true
		default:
			e.goes(key{"set", ch.Have.Name}, ch.Want != nil)
		}
	}
	if len(e.replaced) == 0 {
		return
	}
	for i := range e.live.Ruleset.Sets {
		have := &e.live.Ruleset.Sets[i]
		if want := findSet(e.want, have.Name); want != nil && !changed[have.Name] && e.goesToReplaced(want) {
			e.sets = append(e.sets, plan.SetChange{Have: have, Want: want, Rebuild: true})
			e.goes(key{"set", have.Name}, true)
		}
	}
}

// tooManyRemoved reports whether making the set again is quicker than taking out single elements.
func tooManyRemoved(ch *plan.SetChange) bool {
	n, all := len(ch.Remove)+len(ch.RemoveTuples), len(ch.Have.Elements)+len(ch.Have.Tuples)
	if ch.Have.Interval && len(ch.Have.Concat) > 0 {
		return n > max(fewTuples, all/tuplesPerRemoval)
	}
	return n > manyElements && n > all/2
}

// movesTargets reports whether a small map of marks or interfaces loses keys and gets others, as
// when numbers or names change. Its elements would change one after the other, after the rules that
// go with them: a packet between would not be steered or pinned.
func movesTargets(ch *plan.SetChange) bool {
	s := ch.Want
	return s.Map && !s.Dynamic && (s.Type == plan.TypeMark || s.Type == plan.TypeIfname) && len(ch.Add) > 0 && len(ch.Remove) > 0
}

// goesToReplaced reports whether an element of a map goes to a chain that is recreated.
func (e *edit) goesToReplaced(s *plan.Set) bool {
	if !s.Map {
		return false
	}
	for i := range s.Elements {
		if e.replaced[key{"chain", s.Elements[i].Goto}] {
			return true
		}
	}
	for i := range s.Tuples {
		if e.replaced[key{"chain", s.Tuples[i].Goto}] {
			return true
		}
	}
	return false
}

func findSet(r *plan.Ruleset, name string) *plan.Set {
	for i := range r.Sets {
		if r.Sets[i].Name == name {
			return &r.Sets[i]
		}
	}
	return nil
}

// planChains decides which live rules are kept.
func (e *edit) planChains() {
	live := make(map[string]int, len(e.live.Ruleset.Chains))
	for i := range e.live.Ruleset.Chains {
		live[e.live.Ruleset.Chains[i].Name] = i
	}
	changed := make(map[string]*plan.ChainChange, len(e.changes.Chains))
	for i := range e.changes.Chains {
		if w := e.changes.Chains[i].Want; w != nil {
			changed[w.Name] = &e.changes.Chains[i]
		}
	}
	e.chains = make([]chainEdit, len(e.want.Chains))
	for i := range e.want.Chains {
		ce := &e.chains[i]
		ce.want, ce.live = &e.want.Chains[i], -1
		at, exists := live[ce.want.Name]
		ch := changed[ce.want.Name]
		switch {
		case !exists || ch != nil && (ch.Have == nil || ch.Rebuild):
			ce.keep = fill(make([]int, len(ce.want.Rules)), -1)
		default:
			ce.live, ce.handles = at, e.live.handles[at]
			e.keepRules(ce, ch)
		}
	}
}

// tooManySteps is from how many handle searches on (the kernel walks the chain for each rule that
// is put in or taken out by position) a chain is emptied and filled again instead.
const tooManySteps = 50_000_000

// keepRules follows a chain's edit script, and drops the kept rules that refer to what is
// recreated.
func (e *edit) keepRules(ce *chainEdit, ch *plan.ChainChange) {
	if ch == nil && len(e.remade)+len(e.swapped) == 0 {
		return
	}
	keep := fill(make([]int, len(ce.want.Rules)), -1)
	kept := 0
	retain := func(want, have int) {
		if !e.refersToRemade(&ce.want.Rules[want]) {
			keep[want] = have
			kept++
		}
	}
	if ch == nil {
		for i := range keep {
			retain(i, i)
		}
	} else {
		for _, ed := range ch.Edits {
			for k := range ed.N {
				if ed.Op == plan.Keep {
					retain(ed.Want+k, ed.Have+k)
				}
			}
		}
	}
	moves := len(keep) - kept + len(ce.handles) - kept
	switch {
	case moves == 0:
		return
	case kept < len(ce.handles) && moves*len(ce.handles) > tooManySteps:
		fill(keep, -1)
	}
	ce.keep = keep
}

func fill(list []int, v int) []int {
	for i := range list {
		list[i] = v
	}
	return list
}

// refersToRemade reports whether a rule uses an object that is recreated.
func (e *edit) refersToRemade(r *plan.ChainRule) bool {
	return len(e.remade)+len(e.swapped) > 0 &&
		uses(r, func(k key) bool { return e.remade[k] || k.kind == "set" && e.swapped[k.name] })
}

// needsMain reports whether a rule uses an object that is recreated in place of the old one, or a
// flowtable, which takes packets as soon as it is there; or what only others know.
func (e *edit) needsMain(r plan.ChainRule) bool {
	return r.Foreign != "" || uses(&r, func(k key) bool { return e.replaced[k] || k.kind == "flowtable" })
}

// uses reports whether a rule uses an object that is such.
func uses(r *plan.ChainRule, such func(key) bool) bool {
	for i := range r.Matches {
		if set := r.Matches[i].Set; set != "" && such(key{"set", set}) {
			return true
		}
	}
	return slices.ContainsFunc(r.Actions, func(a plan.Action) bool {
		o := plan.Uses(a)
		return o.Name != "" && such(key{string(o.Kind), o.Name})
	})
}

// write fills the batch, or both.
func (e *edit) write() error {
	if e.early != nil {
		if err := e.writeEarly(); err != nil {
			return err
		}
	} else {
		e.b.b = slices.Grow(e.b.b, e.size())
	}
	e.removeRules()
	e.removeElements()
	e.removeObjects()
	if !e.live.exists && !e.want.Empty() {
		e.b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, operation{verb: "adding", object: "table inet", name: plan.TableName})
		e.b.str(unix.NFTA_TABLE_NAME, plan.TableName)
		e.b.u32(unix.NFTA_TABLE_FLAGS, 0)
		e.b.setLength()
	}
	if err := e.add(); err != nil {
		return err
	}
	if e.late != nil {
		e.writeLate()
	}
	return nil
}

// add writes what is new.
func (e *edit) add() error {
	e.addCounters()
	e.addFlowtables()
	if err := e.addChains(); err != nil {
		return err
	}
	if err := e.addSets(); err != nil {
		return err
	}
	return e.addRules()
}

// size estimates the batch in bytes, so that the buffer need not be moved while it grows.
func (e *edit) size() int {
	n := 1<<12 + 128*len(e.changes.Counters) + 1024*len(e.changes.Chains)
	for _, ch := range e.changes.Flowtables {
		n += 256 + 64*len(ch.Add)
		if ch.Want != nil {
			n += 64 * len(ch.Want.Devices)
		}
	}
	for i := range e.sets {
		if w := e.sets[i].Want; w != nil && !e.staged[w.Name] && (e.sets[i].Have == nil || e.sets[i].Rebuild) {
			n += len(w.Elements)*(64+2*w.Type.Width()) + len(w.Tuples)*(64+2*plan.TupleWidth(w.Concat))
		}
	}
	for i := range e.chains {
		if ce := &e.chains[i]; ce.keep != nil && len(ce.handles) == 0 {
			n += 768 * len(ce.want.Rules)
		}
	}
	return n
}
