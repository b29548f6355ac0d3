package nft

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/internal/fault"
)

// operation says what one message of a batch is for, to name it when the kernel refuses it.
type operation struct {
	verb, object, name string
	// rule is the number of the rule in its chain from 1 on, 0 for other objects; planned is the
	// rule itself, if added.
	rule    int
	planned *plan.ChainRule
}

func (o *operation) String() string {
	s := o.verb + " " + o.object + " " + o.name
	if o.rule > 0 {
		s = fmt.Sprintf("%s rule %d of chain %s", o.verb, o.rule, o.name)
	}
	if o.planned != nil && o.planned.Comment != "" {
		s += " (" + o.planned.Comment + ")"
	}
	return s
}

// batch is one transaction's messages, in one buffer. Message n has sequence number n; 0 is the
// batch's begin.
type batch struct {
	writer
	ops   []operation
	start int
	// newRules counts the added rules. The first one's message starts at firstAt; firstRule and
	// lastRule are the sequence numbers of the first and the last, 0 for none.
	newRules, firstAt   int
	firstRule, lastRule uint32
}

// newBatch starts a transaction that fails unless the namespace's generation is the given one.
func newBatch(generation uint32) *batch {
	b := &batch{}
	b.b = appendHeader(b.b, unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	b.u32(unix.NFNL_BATCH_GENID, generation)
	b.setLength()
	return b
}

// setGeneration changes the generation of newBatch, which is the first attribute of the first
// message.
func (b *batch) setGeneration(generation uint32) {
	at := unix.SizeofNlMsghdr + nfgenLen + attrHeader
	binary.BigEndian.PutUint32(b.b[at:], generation)
}

// message starts a message; its attributes follow until done.
func (b *batch) message(msg, flags uint16, op operation) {
	b.ops = append(b.ops, op)
	b.start = len(b.b)
	b.b = appendHeader(b.b, unix.NFNL_SUBSYS_NFTABLES<<8|msg, unix.NLM_F_REQUEST|flags, uint32(len(b.ops)), familyInet, 0)
}

// setLength ends the message.
func (b *batch) setLength() {
	binary.NativeEndian.PutUint32(b.b[b.start:], uint32(len(b.b)-b.start))
}

// addFlags adds to the flags of the message that starts at start.
func (b *batch) addFlags(start int, flags uint16) {
	at := b.b[start+6:]
	binary.NativeEndian.PutUint16(at, binary.NativeEndian.Uint16(at)|flags)
}

// empty reports whether there is nothing to send.
func (b *batch) empty() bool { return len(b.ops) == 0 }

// finish ends the batch and asks for an answer to its last message.
func (b *batch) finish() {
	b.addFlags(b.start, unix.NLM_F_ACK)
	b.start = len(b.b)
	b.b = appendHeader(b.b, unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, uint32(len(b.ops)+1), unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	b.setLength()
}

// answer is what the kernel says to a batch: the handles of the first and last new rule.
type answer struct{ first, last uint64 }

var errNoAnswer = errors.New("nftables did not answer")

// commit sends the batch. The kernel has done it, or nothing of it, when the call returns; after an
// error that is not the kernel's answer it is not known which.
func (s *socket) commit(b *batch) (answer, error) {
	if err := fault.At("before an nftables transaction"); err != nil {
		return answer{}, err
	}
	b.finish()
	var a answer
	var failed error
	acked := false
	err := s.exchange(b, func(m message) error {
		switch {
		case m.typ == unix.NLMSG_ERROR && m.errno() != nil:
			if failed == nil {
				failed = b.explain(&m)
			}
		case m.typ == unix.NLMSG_ERROR:
			acked = acked || m.seq == uint32(len(b.ops))
		case m.typ == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWRULE:
			handle := number64(attr(m.attrs(), unix.NFTA_RULE_HANDLE))
			if m.seq == b.firstRule {
				a.first = handle
			}
			if m.seq == b.lastRule {
				a.last = handle
			}
		}
		return nil
	})
	if err == nil && failed == nil && !acked {
		failed = errNoAnswer
	}
	if err == nil && failed == nil {
		failed = fault.At("after an nftables transaction")
	}
	return a, cmp.Or(err, failed)
}

// exchange sends a finished batch, and calls f with each message of the kernel's answer.
func (s *socket) exchange(b *batch, f func(message) error) error {
	s.link.WriteBuffer(len(b.b) + unix.Getpagesize())
	s.drain()
	if err := s.link.Send(b.b); err != nil {
		return fmt.Errorf("sending %d bytes to nftables: %w", len(b.b), err)
	}
	for {
		switch err := s.receive(false, f); err {
		case unix.EAGAIN:
			return nil
		case nil, unix.ENOBUFS:
		default:
			return fmt.Errorf("reading the answer of nftables: %w", err)
		}
	}
}

// drain throws away what is left of earlier answers.
func (s *socket) drain() {
	for s.receive(false, func(message) error { return nil }) == nil {
	}
}

// explain makes an error message of the kernel say which object it is about.
func (b *batch) explain(m *message) error {
	err := m.errno()
	if m.seq == 0 || int(m.seq) > len(b.ops) {
		if err == unix.ERESTART {
			return ErrChanged
		}
		return fmt.Errorf("changing table inet %s: %w", plan.TableName, err)
	}
	op := &b.ops[m.seq-1]
	if hint := op.hint(err); hint != "" {
		return fmt.Errorf("%s: %w (%s)", op, err, hint)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// hint names the kernel modules without which a rule like this is refused with "no such file or
// directory".
func (o *operation) hint(err error) string {
	if err == unix.EPERM {
		return "it takes CAP_NET_ADMIN; another process may own the table"
	}
	if err != unix.ENOENT && err != unix.EOPNOTSUPP {
		return ""
	}
	modules := map[string]bool{}
	if o.object == "chain" && o.verb == "adding" {
		return "the kernel may lack the chain's type: module nft_chain_nat for nat"
	}
	if o.object == "flowtable" {
		return "an interface of it is gone, or the kernel lacks module nf_flow_table_inet"
	}
	if o.planned == nil {
		return ""
	}
	for i := range o.planned.Matches {
		field := o.planned.Matches[i].Field
		if field.CgroupLevel() > 0 {
			return "cgroup and unit of a policy need Linux 5.13 or later, with module nft_socket"
		}
		switch field {
		case plan.FieldFibSAddrType, plan.FieldFibDAddrType, plan.FieldFibSAddrOIFType, plan.FieldFibSAddrBack:
			modules["nft_fib_inet"] = true
		case plan.FieldCTMark, plan.FieldCTState, plan.FieldCTStatus:
			modules["nft_ct"] = true
		}
	}
	for _, a := range o.planned.Actions {
		if name := actionModule(a); name != "" {
			modules[name] = true
		}
	}
	if len(modules) == 0 {
		return ""
	}
	return "the kernel may lack a module: " + sortedNames(modules)
}
