package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

func (e *edit) addCounters() {
	for _, ch := range e.changes.Counters {
		if ch.Want == nil || e.isEarly(ch.Have == nil) != e.inEarly() {
			continue
		}
		e.b.message(unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE|unix.NLM_F_EXCL,
			operation{verb: "adding", object: "counter", name: ch.Want.Name})
		e.b.str(unix.NFTA_OBJ_TABLE, plan.TableName)
		e.b.str(unix.NFTA_OBJ_NAME, ch.Want.Name)
		e.b.u32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		at := e.b.open(unix.NFTA_OBJ_DATA)
		e.b.countData(e.counts.take(ch.Want.Name))
		e.b.shut(at)
		if ch.Want.Comment != "" {
			e.b.bytes(objUserdata, appendComment(nil, udataObjComment, ch.Want.Comment))
		}
		e.b.setLength()
	}
}

func (e *edit) addChains() error {
	for _, ch := range e.changes.Chains {
		if ch.Want == nil || ch.Have != nil && !ch.Rebuild || e.isEarly(isNewTarget(&ch)) != e.inEarly() {
			continue
		}
		e.b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_EXCL,
			operation{verb: "adding", object: "chain", name: ch.Want.Name})
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
		if ch.Want == nil || e.staged[ch.Want.Name] || e.isEarly(e.besideOld(ch)) != e.inEarly() {
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
		e.b.str(unix.NFTA_SET_NAME, kernelSet(e.bCopies, ch.Want.Name))
		if err := setAttrs(&e.b.writer, ch.Want); err != nil {
			return fmt.Errorf("adding set %s: %w", ch.Want.Name, err)
		}
		e.b.setLength()
	}
	for i := range e.sets {
		ch := &e.sets[i]
		if ch.Want == nil || e.staged[ch.Want.Name] || e.isEarly(e.besideOld(ch)) != e.inEarly() {
			continue
		}
		elements, tuples := ch.Add, ch.AddTuples
		if ch.Have == nil || ch.Rebuild {
			elements, tuples = ch.Want.Elements, ch.Want.Tuples
		}
		name := kernelSet(e.bCopies, ch.Want.Name)
		e.b.elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, name, ch.Want, elements, e.counts)
		e.b.members(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ch.Want, e.inherited[ch.Want.Name])
		e.b.tuples(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, name, ch.Want, tuples, e.counts)
	}
	return nil
}

// elementsLen is from what size in bytes on a message of elements is full; an attribute's length
// has 16 bits, and one element takes less than the rest.
const elementsLen = 60 << 10

// elements writes messages with all of the elements of s, which the kernel has by the given name.
// Those that count continue from n.
func (b *batch) elements(msg, flags uint16, name string, s *plan.Set, list []plan.Element, n counts) {
	b.elementMessages(msg, flags, name, len(list), func(i int) { b.element(s, &list[i], n.take(list[i].Counter)) })
}

// tuples is elements for keys of several fields.
func (b *batch) tuples(msg, flags uint16, name string, s *plan.Set, list []plan.Tuple, n counts) {
	b.elementMessages(msg, flags, name, len(list), func(i int) { b.tuple(s, &list[i], n.take(list[i].Counter)) })
}

// elementMessages writes messages with n elements of a set, as few as have room for what write
// writes for each.
func (b *batch) elementMessages(msg, flags uint16, set string, n int, write func(i int)) {
	verb := "adding elements to"
	if msg == unix.NFT_MSG_DELSETELEM {
		verb = "deleting elements of"
	}
	for i := 0; i < n; {
		b.message(msg, flags, operation{verb: verb, object: "set", name: set})
		b.str(unix.NFTA_SET_ELEM_LIST_TABLE, plan.TableName)
		b.str(unix.NFTA_SET_ELEM_LIST_SET, set)
		at := b.open(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for ; i < n && len(b.b)-at < elementsLen; i++ {
			write(i)
		}
		b.shut(at)
		b.setLength()
	}
}

// addRules writes the new rules, each before the next rule that stays, or at the chain's end.
func (e *edit) addRules() error {
	for i := range e.chains {
		ce := &e.chains[i]
		if ce.keep == nil || ce.early != e.inEarly() {
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
	if e.b.newRules > 0 {
		e.b.addFlags(e.b.firstAt, unix.NLM_F_ECHO)
		e.b.addFlags(e.b.start, unix.NLM_F_ECHO)
		e.b.lastRule = uint32(len(e.b.ops))
	}
	return nil
}

// addRule writes rule j of the chain, before the rule with the given handle, or at the end if that
// is 0.
func (e *edit) addRule(ch *plan.Chain, j int, before uint64) error {
	r := &ch.Rules[j]
	flags := uint16(unix.NLM_F_CREATE)
	if before == 0 {
		flags |= unix.NLM_F_APPEND
	}
	op := operation{verb: "adding", name: ch.Name, rule: j + 1, planned: r}
	e.b.ruleMessage(unix.NFT_MSG_NEWRULE, flags, op)
	if before != 0 {
		e.b.u64(unix.NFTA_RULE_POSITION, before)
	}
	if err := e.enc.ruleAttrs(&e.b.writer, r); err != nil {
		return fmt.Errorf("%s: %w", &op, err)
	}
	e.b.setLength()
	if e.b.newRules == 0 {
		e.b.firstAt, e.b.firstRule = e.b.start, uint32(len(e.b.ops))
	}
	e.b.newRules++
	return nil
}
