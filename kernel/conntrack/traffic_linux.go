package conntrack

import (
	"encoding/binary"
	"time"

	"github.com/mdlayher/netlink"
)

// Attributes of counters and times, and the status bits IPS_OFFLOAD and IPS_HW_OFFLOAD
// (linux/netfilter/nfnetlink_conntrack.h, linux/netfilter/nf_conntrack_common.h).
const (
	ctaCountersPackets = 1
	ctaCountersBytes   = 2
	ctaTimestampStart  = 1

	statusOffload = 1<<14 | 1<<15
)

// decode reads one attribute of a listed connection, if it is about traffic.
func (t *Traffic) decode(ad *netlink.AttributeDecoder) {
	switch ad.Type() {
	case ctaStatus:
		if b := ad.Bytes(); len(b) == 4 {
			t.Offloaded = binary.BigEndian.Uint32(b)&statusOffload != 0
		}
	case ctaCountOrig, ctaCountReply:
		t.Counted = true
		ad.Nested(eachNumber(func(kind uint16, v uint64) {
			switch kind {
			case ctaCountersPackets:
				t.Packets += v
			case ctaCountersBytes:
				t.Bytes += v
			}
		}))
	case ctaTimestamp:
		ad.Nested(eachNumber(func(kind uint16, v uint64) {
			if kind == ctaTimestampStart {
				t.Started = time.Unix(0, int64(v))
			}
		}))
	}
}

// eachNumber reads attributes that are numbers of 64 bits in network order.
func eachNumber(do func(kind uint16, v uint64)) func(*netlink.AttributeDecoder) error {
	return func(ad *netlink.AttributeDecoder) error {
		for ad.Next() {
			if b := ad.Bytes(); len(b) == 8 {
				do(ad.Type(), binary.BigEndian.Uint64(b))
			}
		}
		return nil
	}
}
