package nft

import (
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// key names an object of the table.
type key struct{ kind, name string }

// edit writes one transaction. Removal comes first and in the reverse order of making, so that nothing
// goes that something else still refers to: rules, elements, sets, chains, other objects.
type edit struct {
	b       *batch
	live    *Live
	want    *plan.Ruleset
	changes *plan.Changes
	enc     ruleEncoder
	// sets are the changes of sets, with Rebuild also where only taking the set away and making it anew will do.
	sets []plan.SetChange
	// remade are the objects that are deleted in this transaction, to stay away or to be made anew:
	// whatever refers to them has to be taken away and put back as well.
	remade map[key]bool
	// chains are the wanted chains, as in want.
	chains   []chainEdit
	newRules int
	// firstAt is where the first new rule's message starts in the batch.
	firstAt int
}

// chainEdit is what becomes of one wanted chain.
type chainEdit struct {
	want *plan.Chain
	// live is the index of the live chain, -1 when there is none or it is made anew.
	live int
	// handles are those of the live chain's rules, nil when there is none or it is made anew.
	handles []uint64
	// keep has, for each wanted rule, the index of the live rule that is it, or -1; nil when nothing changes.
	keep []int
}

func newEdit(b *batch, live *Live, want *plan.Ruleset, changes *plan.Changes) *edit {
	e := &edit{b: b, live: live, want: want, changes: changes, remade: map[key]bool{}}
	e.enc.sets = setsByName(want.Sets)
	for _, ch := range changes.Counters {
		if ch.Have != nil {
			e.remade[key{"counter", ch.Have.Name}] = true
		}
	}
	for _, ch := range changes.Flowtables {
		if ch.Have != nil && (ch.Want == nil || ch.Rebuild) {
			e.remade[key{"flowtable", ch.Have.Name}] = true
		}
	}
	for _, ch := range changes.Chains {
		if ch.Have != nil && (ch.Want == nil || ch.Rebuild) {
			e.remade[key{"chain", ch.Have.Name}] = true
		}
	}
	e.planSets()
	e.planChains()
	return e
}

// manyElements is the number of elements to remove from which on a set of which most changes is made anew, which
// is quicker and leaves the old one whole until the transaction ends.
const manyElements = 1000

// planSets decides which sets are made anew.
func (e *edit) planSets() {
	e.sets = append(e.sets, e.changes.Sets...)
	changed := make(map[string]bool, len(e.sets))
	for i := range e.sets {
		ch := &e.sets[i]
		if ch.Have != nil && ch.Want != nil {
			changed[ch.Want.Name] = true
			ch.Rebuild = ch.Rebuild || e.live.irregular[ch.Have.Name] ||
				tooManyRemoved(ch) || e.goesToRemade(ch.Want)
		}
		if ch.Have != nil && (ch.Want == nil || ch.Rebuild) {
			e.remade[key{"set", ch.Have.Name}] = true
		}
	}
	if len(e.remade) == 0 {
		return
	}
	for i := range e.live.Ruleset.Sets {
		have := &e.live.Ruleset.Sets[i]
		if want := findSet(e.want, have.Name); want != nil && !changed[have.Name] && e.goesToRemade(want) {
			e.sets = append(e.sets, plan.SetChange{Have: have, Want: want, Rebuild: true})
			e.remade[key{"set", have.Name}] = true
		}
	}
}

func tooManyRemoved(ch *plan.SetChange) bool {
	n := len(ch.Remove) + len(ch.RemoveTuples)
	return n > manyElements && n > (len(ch.Have.Elements)+len(ch.Have.Tuples))/2
}

// goesToRemade tells whether an element of a map goes to a chain that is made anew.
func (e *edit) goesToRemade(s *plan.Set) bool {
	if !s.Map {
		return false
	}
	for i := range s.Elements {
		if e.remade[key{"chain", s.Elements[i].Goto}] {
			return true
		}
	}
	for i := range s.Tuples {
		if e.remade[key{"chain", s.Tuples[i].Goto}] {
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

// tooManySteps is from how many handle searches on (the kernel walks the chain for each rule that is put in or taken
// out by position) a chain is emptied and filled anew instead.
const tooManySteps = 50_000_000

// keepRules follows a chain's edit script, and drops the kept rules that refer to what is made anew.
func (e *edit) keepRules(ce *chainEdit, ch *plan.ChainChange) {
	if ch == nil && len(e.remade) == 0 {
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

// refersToRemade tells whether a rule uses an object that is made anew.
func (e *edit) refersToRemade(r *plan.ChainRule) bool {
	if len(e.remade) == 0 {
		return false
	}
	for i := range r.Matches {
		if r.Matches[i].Set != "" && e.remade[key{"set", r.Matches[i].Set}] {
			return true
		}
	}
	for i := range r.Actions {
		a := &r.Actions[i]
		switch a.Kind {
		case plan.Jump, plan.Goto:
			if e.remade[key{"chain", a.Chain}] {
				return true
			}
		case plan.VMap, plan.HashVMap, plan.CycleVMap, plan.RandomVMap, plan.RecallCTMark, plan.Remember, plan.Forget:
			if e.remade[key{"set", a.Set}] {
				return true
			}
		case plan.Count:
			if e.remade[key{"counter", a.Name}] {
				return true
			}
		case plan.Offload:
			if e.remade[key{"flowtable", a.Name}] {
				return true
			}
		}
	}
	return false
}

// write fills the batch.
func (e *edit) write() error {
	e.b.b = slices.Grow(e.b.b, e.size())
	e.removeRules()
	e.removeElements()
	e.removeObjects()
	if !e.live.exists && !e.want.Empty() {
		e.b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, operation{verb: "adding", object: "table inet", name: plan.TableName})
		e.b.str(unix.NFTA_TABLE_NAME, plan.TableName)
		e.b.u32(unix.NFTA_TABLE_FLAGS, 0)
		e.b.setLength()
	}
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
		if w := e.sets[i].Want; w != nil && (e.sets[i].Have == nil || e.sets[i].Rebuild) {
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
