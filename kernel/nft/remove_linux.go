package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// removeRules empties the chains that go and takes single rules out of those that stay.
func (e *edit) removeRules() {
	for _, ch := range e.changes.Chains {
		if ch.Have != nil && len(ch.Have.Rules) > 0 && (ch.Want == nil || ch.Rebuild) && e.emptiedLate(&ch) == e.inLate() {
			e.b.flushChain(ch.Have.Name)
		}
	}
	if e.inLate() {
		return
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
			e.b.flushChain(ce.want.Name)
			continue
		}
		for k, handle := range ce.handles {
			if !kept[k] {
				e.b.ruleMessage(unix.NFT_MSG_DELRULE, 0, operation{verb: "deleting", name: ce.want.Name, rule: k + 1})
				e.b.u64(unix.NFTA_RULE_HANDLE, handle)
				e.b.setLength()
			}
		}
	}
}

func (b *batch) flushChain(name string) {
	b.ruleMessage(unix.NFT_MSG_DELRULE, 0, operation{verb: "deleting the rules of", object: "chain", name: name})
	b.setLength()
}

// ruleMessage starts a message about the chain that op names.
func (b *batch) ruleMessage(msg, flags uint16, op operation) {
	b.message(msg, flags, op)
	b.str(unix.NFTA_RULE_TABLE, plan.TableName)
	b.str(unix.NFTA_RULE_CHAIN, op.name)
}

func (e *edit) removeElements() {
	for i := range e.sets {
		ch := &e.sets[i]
		if ch.Have != nil && ch.Want != nil && !ch.Rebuild {
			name := kernelSet(e.live.bCopies, ch.Have.Name)
			e.b.elements(unix.NFT_MSG_DELSETELEM, 0, name, ch.Have, ch.Remove, nil)
			e.b.tuples(unix.NFT_MSG_DELSETELEM, 0, name, ch.Have, ch.RemoveTuples, nil)
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
		if ch := &e.sets[i]; ch.Have != nil && (ch.Want == nil || ch.Rebuild) && e.setDeletedLate(ch) == e.inLate() {
			e.b.deleteNamed(unix.NFT_MSG_DELSET, "set", unix.NFTA_SET_NAME, kernelSet(e.live.bCopies, ch.Have.Name), true)
		}
	}
	for _, ch := range e.changes.Chains {
		if ch.Have != nil && (ch.Want == nil || ch.Rebuild) && e.deletedLate(&ch) == e.inLate() {
			e.b.deleteNamed(unix.NFT_MSG_DELCHAIN, "chain", unix.NFTA_CHAIN_NAME, ch.Have.Name, true)
		}
	}
	if !e.inLate() {
		e.removeFlowtables()
		for _, f := range e.live.foreign {
			e.b.deleteObject(f.object, f.name)
		}
	}
	for _, ch := range e.changes.Counters {
		if ch.Have != nil && (e.late != nil && ch.Want == nil) == e.inLate() {
			e.b.deleteObject(unix.NFT_OBJECT_COUNTER, ch.Have.Name)
		}
	}
}

func (b *batch) deleteObject(kind uint32, name string) {
	word := "counter"
	if kind != unix.NFT_OBJECT_COUNTER {
		word = fmt.Sprintf("object of type %d", kind)
	}
	b.deleteNamed(unix.NFT_MSG_DELOBJ, word, unix.NFTA_OBJ_NAME, name, true)
	b.u32(unix.NFTA_OBJ_TYPE, kind)
	b.setLength()
}
