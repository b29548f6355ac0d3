package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// reg1 is the register that expressions work in, except for the few that need another one; a
// verdict goes to register 0.
const reg1 = unix.NFT_REG_1

// exprs writes a rule's expressions, each with its attributes in the order of the kernel's own
// dump.
type exprs struct{ writer }

// begin starts an expression; end, given its result, closes it.
func (e *exprs) begin(name string) [2]int {
	elem := e.open(unix.NFTA_LIST_ELEM)
	e.str(unix.NFTA_EXPR_NAME, name)
	return [2]int{elem, e.open(unix.NFTA_EXPR_DATA)}
}

func (e *exprs) end(at [2]int) {
	e.shut(at[1])
	e.shut(at[0])
}

func (e *exprs) metaLoad(key uint32) { e.metaLoadInto(reg1, key) }

func (e *exprs) metaLoadInto(reg, key uint32) {
	at := e.begin("meta")
	e.u32(unix.NFTA_META_KEY, key)
	e.u32(unix.NFTA_META_DREG, reg)
	e.end(at)
}

// cgroup loads the control group of the socket that is so far below the root.
func (e *exprs) cgroup(level uint32) {
	at := e.begin("socket")
	e.u32(socketKey, socketCgroup)
	e.u32(socketDreg, reg1)
	e.u32(socketLevel, level)
	e.end(at)
}

func (e *exprs) metaSet(key uint32) {
	at := e.begin("meta")
	e.u32(unix.NFTA_META_KEY, key)
	e.u32(unix.NFTA_META_SREG, reg1)
	e.end(at)
}

func (e *exprs) ctLoad(key uint32) { e.ctLoadInto(reg1, key) }

// ctOriginal is the direction of the connection's first packet (IP_CT_DIR_ORIGINAL).
const ctOriginal = 0

func (e *exprs) ctLoadInto(reg, key uint32) {
	at := e.begin("ct")
	e.u32(unix.NFTA_CT_DREG, reg)
	e.u32(unix.NFTA_CT_KEY, key)
	if key == unix.NFT_CT_PROTO_DST {
		e.bytes(unix.NFTA_CT_DIRECTION, []byte{ctOriginal})
	}
	e.end(at)
}

func (e *exprs) ctSet(key uint32) {
	at := e.begin("ct")
	e.u32(unix.NFTA_CT_SREG, reg1)
	e.u32(unix.NFTA_CT_KEY, key)
	e.end(at)
}

func (e *exprs) payload(p payload) { e.payloadInto(reg1, p) }

func (e *exprs) payloadInto(reg uint32, p payload) {
	at := e.begin("payload")
	e.u32(unix.NFTA_PAYLOAD_DREG, reg)
	e.u32(unix.NFTA_PAYLOAD_BASE, p.base)
	e.u32(unix.NFTA_PAYLOAD_OFFSET, p.offset)
	e.u32(unix.NFTA_PAYLOAD_LEN, p.len)
	e.end(at)
}

func (e *exprs) fib(flags uint32) {
	at := e.begin("fib")
	e.u32(unix.NFTA_FIB_DREG, reg1)
	e.u32(unix.NFTA_FIB_RESULT, fibResult(flags))
	e.u32(unix.NFTA_FIB_FLAGS, flags)
	e.end(at)
}

// fibResult is what a look-up by these flags is made for: what kind of address it is, or whether
// there is a route.
func fibResult(flags uint32) uint32 {
	if flags&unix.NFTA_FIB_F_PRESENT != 0 {
		return unix.NFT_FIB_RESULT_OIF
	}
	return unix.NFT_FIB_RESULT_ADDRTYPE
}

// value writes data wrapped as struct nft_data's netlink form.
func (e *exprs) value(typ uint16, v []byte) {
	at := e.open(typ)
	e.bytes(unix.NFTA_DATA_VALUE, v)
	e.shut(at)
}

func (e *exprs) cmp(op uint32, v []byte) {
	at := e.begin("cmp")
	e.u32(unix.NFTA_CMP_SREG, reg1)
	e.u32(unix.NFTA_CMP_OP, op)
	e.value(unix.NFTA_CMP_DATA, v)
	e.end(at)
}

func (e *exprs) notInRange(from, to []byte) {
	at := e.begin("range")
	e.u32(unix.NFTA_RANGE_SREG, reg1)
	e.u32(unix.NFTA_RANGE_OP, unix.NFT_RANGE_NEQ)
	e.value(unix.NFTA_RANGE_FROM_DATA, from)
	e.value(unix.NFTA_RANGE_TO_DATA, to)
	e.end(at)
}

// bitwise is register & mask ^ xor.
func (e *exprs) bitwise(mask, xor []byte) { e.bitwiseOn(reg1, mask, xor) }

func (e *exprs) bitwiseOn(reg uint32, mask, xor []byte) {
	at := e.begin("bitwise")
	e.u32(unix.NFTA_BITWISE_SREG, reg)
	e.u32(unix.NFTA_BITWISE_DREG, reg)
	e.u32(unix.NFTA_BITWISE_LEN, uint32(len(mask)))
	e.u32(bitwiseOp, bitwiseBool)
	e.value(unix.NFTA_BITWISE_MASK, mask)
	e.value(unix.NFTA_BITWISE_XOR, xor)
	e.end(at)
}

// shiftRight shifts a register of size bytes. The count is host-endian, as all register data.
func (e *exprs) shiftRight(size, bits uint32) {
	at := e.begin("bitwise")
	e.u32(unix.NFTA_BITWISE_SREG, reg1)
	e.u32(unix.NFTA_BITWISE_DREG, reg1)
	e.u32(unix.NFTA_BITWISE_LEN, size)
	e.u32(bitwiseOp, bitwiseRsh)
	e.value(bitwiseData, binary.NativeEndian.AppendUint32(nil, bits))
	e.end(at)
}

// hton makes a host-endian number of 4 or 8 bytes comparable by size.
func (e *exprs) hton(reg uint32, width int) {
	at := e.begin("byteorder")
	e.u32(unix.NFTA_BYTEORDER_SREG, reg)
	e.u32(unix.NFTA_BYTEORDER_DREG, reg)
	e.u32(unix.NFTA_BYTEORDER_OP, unix.NFT_BYTEORDER_HTON)
	e.u32(unix.NFTA_BYTEORDER_LEN, uint32(width))
	e.u32(unix.NFTA_BYTEORDER_SIZE, uint32(width))
	e.end(at)
}

// lookup finds the register in a set; with vmap the verdict found there is the rule's.
func (e *exprs) lookup(set string, not, vmap bool) {
	var flags uint32
	if not {
		flags = unix.NFT_LOOKUP_F_INV
	}
	at := e.begin("lookup")
	e.str(unix.NFTA_LOOKUP_SET, set)
	e.u32(unix.NFTA_LOOKUP_SREG, reg1)
	if vmap {
		e.u32(unix.NFTA_LOOKUP_DREG, unix.NFT_REG_VERDICT)
	}
	e.u32(unix.NFTA_LOOKUP_FLAGS, flags)
	e.end(at)
}

// verdict writes verdict data; chain is empty but for jumps and gotos.
func (w *writer) verdict(typ uint16, code int32, chain string) {
	data := w.open(typ)
	at := w.open(unix.NFTA_DATA_VERDICT)
	w.u32(unix.NFTA_VERDICT_CODE, uint32(code))
	if chain != "" {
		w.str(unix.NFTA_VERDICT_CHAIN, chain)
	}
	w.shut(at)
	w.shut(data)
}

func (e *exprs) immediateVerdict(code int32, chain string) {
	at := e.begin("immediate")
	e.u32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
	e.verdict(unix.NFTA_IMMEDIATE_DATA, code, chain)
	e.end(at)
}

func (e *exprs) immediateValue(v []byte) {
	at := e.begin("immediate")
	e.u32(unix.NFTA_IMMEDIATE_DREG, reg1)
	e.value(unix.NFTA_IMMEDIATE_DATA, v)
	e.end(at)
}

// payload is a place in the packet.
type payload struct{ base, offset, len uint32 }

// expr is a received expression.
type expr struct {
	name string
	data []byte
}

// splitExprs takes a rule's expressions apart.
func splitExprs(raw []byte) []expr {
	var out []expr
	for _, elem := range attrs(raw) {
		out = append(out, expr{name: text(attr(elem, unix.NFTA_EXPR_NAME)), data: attr(elem, unix.NFTA_EXPR_DATA)})
	}
	return out
}

// u32 is a numeric attribute of the expression, 0 if absent.
func (x *expr) u32(typ uint16) uint32 { return number(attr(x.data, typ)) }

// value is the data in attribute typ of the expression, nil if absent.
func (x *expr) value(typ uint16) []byte { return attr(attr(x.data, typ), unix.NFTA_DATA_VALUE) }
