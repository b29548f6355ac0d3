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
func (e *ruleEncoder) action(a plan.Action) error {
	switch a := a.(type) {
	case plan.Accept:
		e.immediateVerdict(nfAccept, "")
	case plan.Drop:
		e.immediateVerdict(nfDrop, "")
	case plan.Jump:
		e.immediateVerdict(unix.NFT_JUMP, a.Chain)
	case plan.Goto:
		e.immediateVerdict(unix.NFT_GOTO, a.Chain)
	case plan.SetMark:
		e.setMark(a)
	case plan.SetCTMark:
		e.setCTMark(a)
	case plan.Count:
		e.counter(a)
	case plan.Log:
		e.log(a)
	case plan.Limit:
		e.limit(a)
	case plan.Masquerade:
		e.end(e.begin("masq"))
	case plan.SNAT:
		return e.snat(a)
	case plan.Offload:
		e.offload(a)
	case plan.VMap:
		return e.verdictMap(a)
	case plan.ConcatVMap:
		return e.tupleMap(a)
	case plan.HashVMap:
		return e.choose(a.Set, a.Mod, func() error { return e.hash(a) })
	case plan.CycleVMap:
		return e.choose(a.Set, a.Mod, func() error { return e.number(unix.NFT_NG_INCREMENTAL, a.Mod) })
	case plan.RandomVMap:
		return e.choose(a.Set, a.Mod, func() error { return e.number(unix.NFT_NG_RANDOM, a.Mod) })
	case plan.RecallCTMark:
		return e.recall(a)
	case plan.Remember:
		return e.dynset(unix.NFT_DYNSET_OP_UPDATE, a)
	case plan.Forget:
		return e.dynset(dynsetDelete, plan.Remember{Field: a.Field, Prefix: a.Prefix, Mask: a.Mask, Set: a.Set})
	case plan.Queue:
		e.queue(a)
	case plan.QueueTarget:
		e.queueTarget(a)
	case plan.LogGroup:
		e.logGroup(a)
	default:
		return fmt.Errorf("action %T is unknown", a)
	}
	return nil
}

// actionModule names the module that an action needs where the kernel has it as one.
func actionModule(a plan.Action) string {
	switch a.(type) {
	case plan.Count:
		return "nft_objref"
	case plan.Log:
		return "nft_log or nf_log_syslog"
	case plan.LogGroup:
		return "nft_log"
	case plan.Limit:
		return "nft_limit"
	case plan.Masquerade:
		return "nft_masq"
	case plan.SNAT:
		return "nft_nat"
	case plan.SetCTMark, plan.RecallCTMark:
		return "nft_ct"
	case plan.HashVMap:
		return "nft_hash"
	case plan.CycleVMap, plan.RandomVMap:
		return "nft_numgen"
	case plan.Offload:
		return "nft_flow_offload"
	case plan.Queue:
		return "nft_queue"
	case plan.QueueTarget:
		return "nft_compat and xt_NFQUEUE"
	}
	return ""
}

// Verdicts that are not in nf_tables.h but netfilter's own (NF_DROP, NF_ACCEPT, linux/netfilter.h).
const (
	nfDrop   = 0
	nfAccept = 1
)

func (e *ruleEncoder) setMark(a plan.SetMark) {
	e.metaLoad(unix.NFT_META_MARK)
	e.setBits(a.Mask, a.Value)
	e.metaSet(unix.NFT_META_MARK)
}

func (e *ruleEncoder) setCTMark(a plan.SetCTMark) {
	e.ctLoad(unix.NFT_CT_MARK)
	e.setBits(a.Mask, a.Value)
	e.ctSet(unix.NFT_CT_MARK)
}

func (e *ruleEncoder) counter(a plan.Count) {
	at := e.begin("objref")
	e.str(unix.NFTA_OBJREF_IMM_NAME, a.Counter)
	e.u32(unix.NFTA_OBJREF_IMM_TYPE, unix.NFT_OBJECT_COUNTER)
	e.end(at)
}

func (e *ruleEncoder) log(a plan.Log) {
	at := e.begin("log")
	e.str(unix.NFTA_LOG_PREFIX, a.Prefix)
	e.u32(unix.NFTA_LOG_LEVEL, logLevelWarning)
	e.end(at)
}

func (e *ruleEncoder) offload(a plan.Offload) {
	at := e.begin("flow_offload")
	e.str(flowTableName, a.Flowtable)
	e.end(at)
}

// setBits gives the register the bits of value under mask.
func (e *ruleEncoder) setBits(mask, value uint32) {
	e.bitwise(binary.NativeEndian.AppendUint32(nil, ^mask), binary.NativeEndian.AppendUint32(nil, value&mask))
}

// limit writes a rate; units are seconds, type 0 counts packets (NFT_LIMIT_PKTS).
func (e *ruleEncoder) limit(a plan.Limit) {
	unit := uint64(1)
	if a.Minutes {
		unit = 60
	}
	at := e.begin("limit")
	e.u64(unix.NFTA_LIMIT_RATE, uint64(a.Rate))
	e.u64(unix.NFTA_LIMIT_UNIT, unit)
	e.u32(unix.NFTA_LIMIT_BURST, a.Burst)
	e.u32(unix.NFTA_LIMIT_TYPE, unix.NFT_LIMIT_PKTS)
	e.u32(unix.NFTA_LIMIT_FLAGS, 0)
	e.end(at)
}

func (e *ruleEncoder) snat(a plan.SNAT) error {
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

// decodeAction reads the action that xs begins with, and how many expressions it takes; 0
// when it is none. It may be generous: what it returns is encoded again and compared.
func (e *ruleEncoder) decodeAction(xs []expr) (a plan.Action, n int) {
	x := &xs[0]
	switch x.name {
	case "immediate":
		if v := attr(attr(x.data, unix.NFTA_IMMEDIATE_DATA), unix.NFTA_DATA_VERDICT); v != nil {
			return decodeVerdict(v)
		}
		if len(xs) < 2 || xs[1].name != "nat" {
			return nil, 0
		}
		addr, _ := netip.AddrFromSlice(x.value(unix.NFTA_IMMEDIATE_DATA))
		return plan.SNAT{Addr: addr}, 2
	case "objref":
		return plan.Count{Counter: text(attr(x.data, unix.NFTA_OBJREF_IMM_NAME))}, 1
	case "queue", "target":
		return decodeQueue(x)
	case "log":
		return decodeLog(x)
	case "limit":
		return plan.Limit{Rate: uint32(number64(attr(x.data, unix.NFTA_LIMIT_RATE))),
			Burst: x.u32(unix.NFTA_LIMIT_BURST), Minutes: number64(attr(x.data, unix.NFTA_LIMIT_UNIT)) == 60}, 1
	case "masq":
		return plan.Masquerade{}, 1
	case "flow_offload":
		return plan.Offload{Flowtable: text(attr(x.data, flowTableName))}, 1
	case "numgen":
		return e.decodeNumber(xs)
	}
	if a, n := e.decodeHash(xs); n > 0 {
		return a, n
	}
	if a, n := e.decodeClient(xs); n > 0 {
		return a, n
	}
	if a, n := e.decodeTupleMap(xs); n > 0 {
		return a, n
	}
	return e.decodeRegister(xs)
}

func decodeVerdict(v []byte) (a plan.Action, n int) {
	chain := text(attr(v, unix.NFTA_VERDICT_CHAIN))
	switch int32(number(attr(v, unix.NFTA_VERDICT_CODE))) {
	case nfAccept:
		return plan.Accept{}, 1
	case nfDrop:
		return plan.Drop{}, 1
	case unix.NFT_JUMP:
		return plan.Jump{Chain: chain}, 1
	case unix.NFT_GOTO:
		return plan.Goto{Chain: chain}, 1
	}
	return nil, 0
}

// decodeRegister reads an action that begins with loading a field: a verdict map or a change of a
// mark.
func (e *ruleEncoder) decodeRegister(xs []expr) (a plan.Action, n int) {
	field, src, ok := fieldOf(&xs[0], 0)
	if !ok {
		return nil, 0
	}
	i := 1
	var mask, xor []byte
	for ; i < len(xs) && (xs[i].name == "bitwise" || xs[i].name == "byteorder"); i++ {
		if v := xs[i].value(unix.NFTA_BITWISE_MASK); v != nil && mask == nil {
			mask, xor = v, xs[i].value(unix.NFTA_BITWISE_XOR)
		}
	}
	if i == len(xs) {
		return nil, 0
	}
	switch x := &xs[i]; {
	case x.name == "lookup":
		return e.decodeVerdictMap(x, field, src, mask), i + 1
	case len(mask) != 4 || len(xor) != 4:
	case x.name == "meta" && src.kind == fromMeta:
		return plan.SetMark{Mask: ^binary.NativeEndian.Uint32(mask), Value: binary.NativeEndian.Uint32(xor)}, i + 1
	case x.name == "ct" && src.kind == fromCT:
		return plan.SetCTMark{Mask: ^binary.NativeEndian.Uint32(mask), Value: binary.NativeEndian.Uint32(xor)}, i + 1
	}
	return nil, 0
}
