package route

import (
	"encoding/binary"
	"fmt"

	"pbr/kernel/internal/boot"

	"golang.org/x/sys/unix"
)

// A dump of statistics alone (rtnetlink(7), linux/if_link.h): that of links has forty other
// attributes for each, and pbr watch asks every few seconds.
const (
	ifStatsSize  = 12     // struct if_stats_msg: family and padding, index, filter
	statsLink64  = 1      // IFLA_STATS_LINK_64
	filterLink64 = 1 << 0 // IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64)
	// Offsets in struct rtnl_link_stats64.
	rxBytesAt, txBytesAt = 16, 24
)

// Traffic reads the byte counts of interfaces; those that do not exist are omitted.
func (c *Conn) Traffic(interfaces []string) (map[string]Traffic, error) {
	bootID, err := boot.ID()
	if err != nil {
		return nil, err
	}
	asked := make(map[uint32]string, len(interfaces))
	for _, name := range interfaces {
		if index, err := c.linkIndex(name); err == nil {
			asked[index] = name
		}
	}
	body := make([]byte, ifStatsSize)
	binary.NativeEndian.PutUint32(body[8:], filterLink64)
	messages, err := c.dump(unix.RTM_GETSTATS, unix.RTM_NEWSTATS, body)
	if err != nil {
		return nil, fmt.Errorf("listing what interfaces have counted: %w", err)
	}
	out := make(map[string]Traffic, len(asked))
	for _, m := range messages {
		if len(m) < ifStatsSize {
			continue
		}
		index := binary.NativeEndian.Uint32(m[4:])
		name, known := asked[index]
		if s := attribute(m[ifStatsSize:], statsLink64); known && len(s) >= txBytesAt+8 {
			in, sent := binary.NativeEndian.Uint64(s[rxBytesAt:]), binary.NativeEndian.Uint64(s[txBytesAt:])
			out[name] = Traffic{Boot: bootID, Index: int(index), Bytes: in + sent, Received: in, Sent: sent}
		}
	}
	return out, nil
}

// attribute returns the content of the first attribute of a type; nil if there is none.
func attribute(b []byte, typ uint16) []byte {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:]) == typ {
			return b[unix.SizeofRtAttr:size]
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}
