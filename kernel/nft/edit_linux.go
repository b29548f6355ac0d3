package nft

import (
	"fmt"
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
	e.enc.interval = intervalSets(want.Sets)
	for _, ch := range changes.Counters {
		if ch.Have != nil {
			e.remade[key{"counter", ch.Have.Name}] = true
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
				len(ch.Remove) > manyElements && len(ch.Remove) > len(ch.Have.Elements)/2 || e.goesToRemade(ch.Want)
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
		case plan.VMap:
			if e.remade[key{"set", a.Set}] {
				return true
			}
		case plan.Count:
			if e.remade[key{"counter", a.Name}] {
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
	if !e.live.exists && !isEmpty(e.want) {
		e.b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, operation{verb: "adding", object: "table inet", name: plan.TableName})
		e.b.str(unix.NFTA_TABLE_NAME, plan.TableName)
		e.b.u32(unix.NFTA_TABLE_FLAGS, 0)
		e.b.setLength()
	}
	e.addCounters()
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
	for i := range e.sets {
		if w := e.sets[i].Want; w != nil && (e.sets[i].Have == nil || e.sets[i].Rebuild) {
			n += len(w.Elements) * (64 + 2*w.Type.Width())
		}
	}
	for i := range e.chains {
		if ce := &e.chains[i]; ce.keep != nil && len(ce.handles) == 0 {
			n += 768 * len(ce.want.Rules)
		}
	}
	return n
}

// removeRules empties the chains that go and takes single rules out of those that stay.
func (e *edit) removeRules() {
	for _, ch := range e.changes.Chains {
		if ch.Have != nil && len(ch.Have.Rules) > 0 && (ch.Want == nil || ch.Rebuild) {
			e.flushChain(ch.Have.Name)
		}
	}
	for i := range e.chains {
		ce := &e.chains[i]
		if ce.keep == nil || len(ce.handles) == 0 {
			continue
		}
		kept := make([]bool, len(ce.handles))
		n := 0
		for _, k := range ce.keep {
			if k >= 0 {
				kept[k] = true
				n++
			}
		}
		if n == 0 {
			e.flushChain(ce.want.Name)
			continue
		}
		for k, handle := range ce.handles {
			if !kept[k] {
				e.ruleMessage(unix.NFT_MSG_DELRULE, 0, operation{verb: "deleting", name: ce.want.Name, rule: k + 1})
				e.b.u64(unix.NFTA_RULE_HANDLE, handle)
				e.b.setLength()
			}
		}
	}
}

func (e *edit) flushChain(name string) {
	e.ruleMessage(unix.NFT_MSG_DELRULE, 0, operation{verb: "deleting the rules of", object: "chain", name: name})
	e.b.setLength()
}

// ruleMessage starts a message about the chain that op names.
func (e *edit) ruleMessage(msg, flags uint16, op operation) {
	e.b.message(msg, flags, op)
	e.b.str(unix.NFTA_RULE_TABLE, plan.TableName)
	e.b.str(unix.NFTA_RULE_CHAIN, op.name)
}

func (e *edit) removeElements() {
	for i := range e.sets {
		ch := &e.sets[i]
		if ch.Have != nil && ch.Want != nil && !ch.Rebuild {
			e.b.elements(unix.NFT_MSG_DELSETELEM, 0, ch.Have, ch.Remove)
		}
	}
}

// deleteNamed writes a message that deletes an object by its name.
func (b *batch) deleteNamed(msg uint16, object string, nameAttr uint16, name string, inTable bool) {
	b.message(msg, 0, operation{verb: "deleting", object: object, name: name})
	if inTable {
		b.str(unix.NFTA_SET_TABLE, plan.TableName)
	}
	b.str(nameAttr, name)
	b.setLength()
}

func (e *edit) removeObjects() {
	for i := range e.sets {
		if ch := &e.sets[i]; ch.Have != nil && (ch.Want == nil || ch.Rebuild) {
			e.b.deleteNamed(unix.NFT_MSG_DELSET, "set", unix.NFTA_SET_NAME, ch.Have.Name, true)
		}
	}
	for _, ch := range e.changes.Chains {
		if ch.Have != nil && (ch.Want == nil || ch.Rebuild) {
			e.b.deleteNamed(unix.NFT_MSG_DELCHAIN, "chain", unix.NFTA_CHAIN_NAME, ch.Have.Name, true)
		}
	}
	for _, f := range e.live.foreign {
		if f.object == 0 {
			e.b.deleteNamed(unix.NFT_MSG_DELFLOWTABLE, "flowtable", flowtableName, f.name, true)
		} else {
			e.deleteObject(f.object, f.name)
		}
	}
	for _, ch := range e.changes.Counters {
		if ch.Have != nil {
			e.deleteObject(unix.NFT_OBJECT_COUNTER, ch.Have.Name)
		}
	}
}

func (e *edit) deleteObject(kind uint32, name string) {
	word := "counter"
	if kind != unix.NFT_OBJECT_COUNTER {
		word = fmt.Sprintf("object of type %d", kind)
	}
	e.b.deleteNamed(unix.NFT_MSG_DELOBJ, word, unix.NFTA_OBJ_NAME, name, true)
	e.b.u32(unix.NFTA_OBJ_TYPE, kind)
	e.b.setLength()
}

func (e *edit) addCounters() {
	for _, ch := range e.changes.Counters {
		if ch.Want == nil {
			continue
		}
		e.b.message(unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE|unix.NLM_F_EXCL, operation{verb: "adding", object: "counter", name: ch.Want.Name})
		e.b.str(unix.NFTA_OBJ_TABLE, plan.TableName)
		e.b.str(unix.NFTA_OBJ_NAME, ch.Want.Name)
		e.b.u32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		e.b.shut(e.b.open(unix.NFTA_OBJ_DATA))
		if ch.Want.Comment != "" {
			e.b.bytes(objUserdata, appendComment(nil, udataObjComment, ch.Want.Comment))
		}
		e.b.setLength()
	}
}

func (e *edit) addChains() error {
	for _, ch := range e.changes.Chains {
		if ch.Want == nil || ch.Have != nil && !ch.Rebuild {
			continue
		}
		e.b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_EXCL, operation{verb: "adding", object: "chain", name: ch.Want.Name})
		e.b.str(unix.NFTA_CHAIN_TABLE, plan.TableName)
		e.b.str(unix.NFTA_CHAIN_NAME, ch.Want.Name)
		if err := chainAttrs(&e.b.writer, ch.Want); err != nil {
			return fmt.Errorf("adding chain %s: %w", ch.Want.Name, err)
		}
		e.b.setLength()
	}
	return nil
}

func (e *edit) addSets() error {
	for i := range e.sets {
		ch := &e.sets[i]
		if ch.Want == nil {
			continue
		}
		if err := checkElements(ch.Want); err != nil {
			return fmt.Errorf("adding set %s: %w", ch.Want.Name, err)
		}
		if ch.Have != nil && !ch.Rebuild {
			continue
		}
		e.b.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE|unix.NLM_F_EXCL, operation{verb: "adding", object: "set", name: ch.Want.Name})
		e.b.str(unix.NFTA_SET_TABLE, plan.TableName)
		e.b.str(unix.NFTA_SET_NAME, ch.Want.Name)
		if err := setAttrs(&e.b.writer, ch.Want); err != nil {
			return fmt.Errorf("adding set %s: %w", ch.Want.Name, err)
		}
		e.b.setLength()
	}
	for i := range e.sets {
		ch := &e.sets[i]
		switch {
		case ch.Want == nil:
		case ch.Have == nil || ch.Rebuild:
			e.b.elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ch.Want, ch.Want.Elements)
		default:
			e.b.elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ch.Want, ch.Add)
		}
	}
	return nil
}

// elementsLen is from what size in bytes on a message of elements is full; an attribute's length has 16 bits, and
// one element takes less than the rest.
const elementsLen = 60 << 10

// elements writes messages with all of the elements.
func (b *batch) elements(msg, flags uint16, s *plan.Set, list []plan.Element) {
	verb := "adding elements to"
	if msg == unix.NFT_MSG_DELSETELEM {
		verb = "deleting elements of"
	}
	for len(list) > 0 {
		b.message(msg, flags, operation{verb: verb, object: "set", name: s.Name})
		b.str(unix.NFTA_SET_ELEM_LIST_TABLE, plan.TableName)
		b.str(unix.NFTA_SET_ELEM_LIST_SET, s.Name)
		at := b.open(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		n := 0
		for n < len(list) && len(b.b)-at < elementsLen {
			b.element(s, &list[n])
			n++
		}
		b.shut(at)
		b.setLength()
		list = list[n:]
	}
}

// addRules writes the new rules, each before the next rule that stays, or at the chain's end.
func (e *edit) addRules() error {
	for i := range e.chains {
		ce := &e.chains[i]
		if ce.keep == nil {
			continue
		}
		next := 0 // the next kept rule after j
		for j := range ce.keep {
			if ce.keep[j] >= 0 {
				continue
			}
			next = max(next, j+1)
			for next < len(ce.keep) && ce.keep[next] < 0 {
				next++
			}
			var before uint64
			if next < len(ce.keep) {
				before = ce.handles[ce.keep[next]]
			}
			if err := e.addRule(ce.want, j, before); err != nil {
				return err
			}
		}
	}
	if e.newRules > 0 {
		e.b.addFlags(e.firstAt, unix.NLM_F_ECHO)
		e.b.addFlags(e.b.start, unix.NLM_F_ECHO)
		e.b.lastRule = uint32(len(e.b.ops))
	}
	return nil
}

// addRule writes rule j of the chain, before the rule with the given handle, or at the end if that is 0.
func (e *edit) addRule(ch *plan.Chain, j int, before uint64) error {
	r := &ch.Rules[j]
	flags := uint16(unix.NLM_F_CREATE)
	if before == 0 {
		flags |= unix.NLM_F_APPEND
	}
	op := operation{verb: "adding", name: ch.Name, rule: j + 1, planned: r}
	e.ruleMessage(unix.NFT_MSG_NEWRULE, flags, op)
	if before != 0 {
		e.b.u64(unix.NFTA_RULE_POSITION, before)
	}
	if err := e.enc.ruleAttrs(&e.b.writer, r); err != nil {
		return fmt.Errorf("%s: %w", &op, err)
	}
	e.b.setLength()
	if e.newRules == 0 {
		e.firstAt, e.b.firstRule = e.b.start, uint32(len(e.b.ops))
	}
	e.newRules++
	return nil
}
