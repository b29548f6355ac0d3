package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// logLevelWarning is the level that the kernel gives a log statement without one
// (LOGLEVEL_WARNING).
const logLevelWarning = 4

// natMapAddresses is the flag that the kernel adds for an address (NF_NAT_RANGE_MAP_IPS,
// linux/netfilter/nf_nat.h).
const natMapAddresses = 1

// action writes a statement.
func (e *ruleEncoder) action(a *plan.Action) error {
	switch a.Kind {
	case plan.Accept:
		e.immediateVerdict(nfAccept, "")
	case plan.Drop:
		e.immediateVerdict(nfDrop, "")
	case plan.Jump:
		e.immediateVerdict(unix.NFT_JUMP, a.Chain)
	case plan.Goto:
		e.immediateVerdict(unix.NFT_GOTO, a.Chain)
	case plan.VMap:
		return e.verdictMap(a)
	case plan.SetMark:
		e.metaLoad(unix.NFT_META_MARK)
		e.setBits(a)
		e.metaSet(unix.NFT_META_MARK)
	case plan.SetCTMark:
		e.ctLoad(unix.NFT_CT_MARK)
		e.setBits(a)
		e.ctSet(unix.NFT_CT_MARK)
	case plan.Count:
		at := e.begin("objref")
		e.str(unix.NFTA_OBJREF_IMM_NAME, a.Name)
		e.u32(unix.NFTA_OBJREF_IMM_TYPE, unix.NFT_OBJECT_COUNTER)
		e.end(at)
	case plan.Log:
		at := e.begin("log")
		e.str(unix.NFTA_LOG_PREFIX, a.Name)
		e.u32(unix.NFTA_LOG_LEVEL, logLevelWarning)
		e.end(at)
	case plan.Limit:
		e.limit(a)
	case plan.Masquerade:
		e.end(e.begin("masq"))
	case plan.SNAT:
		return e.snat(a)
	case plan.HashVMap, plan.CycleVMap, plan.RandomVMap:
		return e.choose(a)
	case plan.RecallCTMark, plan.Remember, plan.Forget:
		return e.client(a)
	case plan.Offload:
		at := e.begin("flow_offload")
		e.str(flowTableName, a.Name)
		e.end(at)
	case plan.Queue, plan.QueueTarget, plan.LogGroup:
		e.queue(a)
	default:
		return fmt.Errorf("action %d is unknown", a.Kind)
	}
	return nil
}

// Verdicts that are not in nf_tables.h but netfilter's own (NF_DROP, NF_ACCEPT, linux/netfilter.h).
const (
	nfDrop   = 0
	nfAccept = 1
)

// setBits gives the register the bits of a.Value under a.Mask.
func (e *ruleEncoder) setBits(a *plan.Action) {
	e.bitwise(binary.NativeEndian.AppendUint32(nil, ^a.Mask), binary.NativeEndian.AppendUint32(nil, a.Value&a.Mask))
}

// limit writes a rate per second; units are seconds, type 0 counts packets (NFT_LIMIT_PKTS).
func (e *ruleEncoder) limit(a *plan.Action) {
	at := e.begin("limit")
	e.u64(unix.NFTA_LIMIT_RATE, uint64(a.Rate))
	e.u64(unix.NFTA_LIMIT_UNIT, limitUnit(a))
	e.u32(unix.NFTA_LIMIT_BURST, a.Burst)
	e.u32(unix.NFTA_LIMIT_TYPE, unix.NFT_LIMIT_PKTS)
	e.u32(unix.NFTA_LIMIT_FLAGS, 0)
	e.end(at)
}

// limitUnit is the time in seconds that a limit's rate is for.
func limitUnit(a *plan.Action) uint64 {
	if a.Minutes {
		return 60
	}
	return 1
}

func (e *ruleEncoder) snat(a *plan.Action) error {
	if !a.Addr.IsValid() {
		return fmt.Errorf("source NAT has no address")
	}
	family := uint32(unix.NFPROTO_IPV4)
	if a.Addr.Is6() {
		family = unix.NFPROTO_IPV6
	}
	e.immediateValue(a.Addr.AsSlice())
	at := e.begin("nat")
	e.u32(unix.NFTA_NAT_TYPE, unix.NFT_NAT_SNAT)
	e.u32(unix.NFTA_NAT_FAMILY, family)
	e.u32(unix.NFTA_NAT_REG_ADDR_MIN, reg1)
	e.u32(unix.NFTA_NAT_REG_ADDR_MAX, reg1)
	e.u32(unix.NFTA_NAT_FLAGS, natMapAddresses)
	e.end(at)
	return nil
}

// decodeAction reads the action that xs begins with, and tells how many expressions it takes; 0
// when it is none. It may be generous: what it returns is encoded again and compared.
func decodeAction(xs []expr) (a plan.Action, n int) {
	x := &xs[0]
	switch x.name {
	case "immediate":
		if v := attr(attr(x.data, unix.NFTA_IMMEDIATE_DATA), unix.NFTA_DATA_VERDICT); v != nil {
			return decodeVerdict(v)
		}
		if len(xs) < 2 || xs[1].name != "nat" {
			return a, 0
		}
		addr, _ := netip.AddrFromSlice(x.value(unix.NFTA_IMMEDIATE_DATA))
		return plan.Action{Kind: plan.SNAT, Addr: addr}, 2
	case "objref":
		return plan.Action{Kind: plan.Count, Name: text(attr(x.data, unix.NFTA_OBJREF_IMM_NAME))}, 1
	case "queue", "target":
		return decodeQueue(x)
	case "log":
		if attr(x.data, unix.NFTA_LOG_GROUP) != nil {
			return plan.Action{Kind: plan.LogGroup, Value: uint32(number16(attr(x.data, unix.NFTA_LOG_GROUP)))}, 1
		}
		return plan.Action{Kind: plan.Log, Name: text(attr(x.data, unix.NFTA_LOG_PREFIX))}, 1
	case "limit":
		return plan.Action{Kind: plan.Limit, Rate: uint32(number64(attr(x.data, unix.NFTA_LIMIT_RATE))),
			Burst: x.u32(unix.NFTA_LIMIT_BURST), Minutes: number64(attr(x.data, unix.NFTA_LIMIT_UNIT)) == 60}, 1
	case "masq":
		return plan.Action{Kind: plan.Masquerade}, 1
	case "flow_offload":
		return plan.Action{Kind: plan.Offload, Name: text(attr(x.data, flowTableName))}, 1
	case "numgen":
		return decodeNumber(xs)
	}
	if a, n := decodeHash(xs); n > 0 {
		return a, n
	}
	if a, n := decodeClient(xs); n > 0 {
		return a, n
	}
	if a, n := decodeTupleMap(xs); n > 0 {
		return a, n
	}
	return decodeRegister(xs)
}

func decodeVerdict(v []byte) (a plan.Action, n int) {
	a.Chain = text(attr(v, unix.NFTA_VERDICT_CHAIN))
	switch int32(number(attr(v, unix.NFTA_VERDICT_CODE))) {
	case nfAccept:
		a.Kind = plan.Accept
	case nfDrop:
		a.Kind = plan.Drop
	case unix.NFT_JUMP:
		a.Kind = plan.Jump
	case unix.NFT_GOTO:
		a.Kind = plan.Goto
	default:
		return a, 0
	}
	return a, 1
}

// decodeRegister reads an action that begins with loading a field: a verdict map or a change of a
// mark.
func decodeRegister(xs []expr) (a plan.Action, n int) {
	field, src, ok := fieldOf(&xs[0], 0)
	if !ok {
		return a, 0
	}
	i := 1
	var mask, xor []byte
	for ; i < len(xs) && (xs[i].name == "bitwise" || xs[i].name == "byteorder"); i++ {
		if v := xs[i].value(unix.NFTA_BITWISE_MASK); v != nil && mask == nil {
			mask, xor = v, xs[i].value(unix.NFTA_BITWISE_XOR)
		}
	}
	if i == len(xs) {
		return a, 0
	}
	switch x := &xs[i]; {
	case x.name == "lookup":
		a = plan.Action{Kind: plan.VMap, Field: field, Set: text(attr(x.data, unix.NFTA_LOOKUP_SET))}
		decodeMask(&a, src, mask)
	case len(mask) != 4 || len(xor) != 4:
		return a, 0
	case x.name == "meta" && src.kind == fromMeta:
		a = plan.Action{Kind: plan.SetMark}
	case x.name == "ct" && src.kind == fromCT:
		a = plan.Action{Kind: plan.SetCTMark}
	default:
		return a, 0
	}
	if a.Kind != plan.VMap {
		a.Mask, a.Value = ^binary.NativeEndian.Uint32(mask), binary.NativeEndian.Uint32(xor)
	}
	return a, i + 1
}
