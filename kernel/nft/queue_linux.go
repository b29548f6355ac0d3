package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// bypassQueue lets packets pass that nobody listens for (NFT_QUEUE_FLAG_BYPASS,
// linux/netfilter/nf_tables.h, and NFQ_FLAG_BYPASS, linux/netfilter/xt_NFQUEUE.h).
const bypassQueue = 1

// The NFQUEUE target of xtables, in the revision that has flags: queue, how many there are, and
// flags, in the machine's byte order. The kernel rounds its size up.
const (
	queueTarget   = "NFQUEUE"
	queueRevision = 3
	queueInfoSize = 8
)

// queue writes what hands a packet to a program.
func (e *ruleEncoder) queue(a plan.Queue) {
	at := e.begin("queue")
	e.u16(unix.NFTA_QUEUE_NUM, a.Number)
	e.u16(unix.NFTA_QUEUE_TOTAL, 1)
	e.u16(unix.NFTA_QUEUE_FLAGS, bypassQueue)
	e.end(at)
}

func (e *ruleEncoder) queueTarget(a plan.QueueTarget) {
	at := e.begin("target")
	e.str(unix.NFTA_TARGET_NAME, queueTarget)
	e.u32(unix.NFTA_TARGET_REV, queueRevision)
	info := make([]byte, 0, queueInfoSize)
	for _, v := range []uint16{a.Number, 1, bypassQueue, 0} {
		info = binary.NativeEndian.AppendUint16(info, v)
	}
	e.bytes(unix.NFTA_TARGET_INFO, info)
	e.end(at)
}

// logGroup writes what gives a program a copy of a packet. One packet alone wakes the program.
func (e *ruleEncoder) logGroup(a plan.LogGroup) {
	at := e.begin("log")
	e.u16(unix.NFTA_LOG_GROUP, a.Group)
	e.u16(unix.NFTA_LOG_QTHRESHOLD, 1)
	e.end(at)
}

// decodeQueue reads either form of queue. Any other target is encoded otherwise, and so stays
// foreign.
func decodeQueue(x *expr) (a plan.Action, n int) {
	if x.name == "queue" {
		return plan.Queue{Number: number16(attr(x.data, unix.NFTA_QUEUE_NUM))}, 1
	}
	info := attr(x.data, unix.NFTA_TARGET_INFO)
	if len(info) != queueInfoSize {
		return nil, 0
	}
	return plan.QueueTarget{Number: binary.NativeEndian.Uint16(info)}, 1
}

// decodeLog reads a line for the log, or a copy for a program.
func decodeLog(x *expr) (a plan.Action, n int) {
	if group := attr(x.data, unix.NFTA_LOG_GROUP); group != nil {
		return plan.LogGroup{Group: number16(group)}, 1
	}
	return plan.Log{Prefix: text(attr(x.data, unix.NFTA_LOG_PREFIX))}, 1
}
