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

// queue writes what hands a packet, or a copy of it, to a program. One packet alone wakes the
// program.
func (e *ruleEncoder) queue(a *plan.Action) {
	switch a.Kind {
	case plan.Queue:
		at := e.begin("queue")
		e.u16(unix.NFTA_QUEUE_NUM, uint16(a.Value))
		e.u16(unix.NFTA_QUEUE_TOTAL, 1)
		e.u16(unix.NFTA_QUEUE_FLAGS, bypassQueue)
		e.end(at)
	case plan.QueueTarget:
		at := e.begin("target")
		e.str(unix.NFTA_TARGET_NAME, queueTarget)
		e.u32(unix.NFTA_TARGET_REV, queueRevision)
		info := make([]byte, 0, queueInfoSize)
		for _, v := range []uint16{uint16(a.Value), 1, bypassQueue, 0} {
			info = binary.NativeEndian.AppendUint16(info, v)
		}
		e.bytes(unix.NFTA_TARGET_INFO, info)
		e.end(at)
	case plan.LogGroup:
		at := e.begin("log")
		e.u16(unix.NFTA_LOG_GROUP, uint16(a.Value))
		e.u16(unix.NFTA_LOG_QTHRESHOLD, 1)
		e.end(at)
	}
}

// decodeQueue reads either form of queue. Any other target is encoded otherwise, and so stays
// foreign.
func decodeQueue(x *expr) (a plan.Action, n int) {
	if x.name == "queue" {
		return plan.Action{Kind: plan.Queue, Value: uint32(number16(attr(x.data, unix.NFTA_QUEUE_NUM)))}, 1
	}
	info := attr(x.data, unix.NFTA_TARGET_INFO)
	if len(info) != queueInfoSize {
		return a, 0
	}
	return plan.Action{Kind: plan.QueueTarget, Value: uint32(binary.NativeEndian.Uint16(info))}, 1
}
