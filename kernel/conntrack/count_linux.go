package conntrack

import (
	"fmt"

	lib "github.com/ti-mo/conntrack"
)

// Count counts the connections of both families by the bits of mask in their mark; unmarked ones
// count under 0. It may run concurrently with everything else.
func Count(mask uint32) (map[uint32]Usage, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	flows, err := c.Dump(nil)
	if err != nil {
		return nil, fmt.Errorf("listing connections: %w", err)
	}
	out := map[uint32]Usage{}
	for i := range flows {
		f := &flows[i]
		u := out[f.Mark&mask]
		u.Connections++
		u.Bytes += f.CountersOrig.Bytes + f.CountersReply.Bytes
		u.HasBytes = u.HasBytes || f.CountersOrig.Packets+f.CountersReply.Packets > 0
		out[f.Mark&mask] = u
	}
	return out, nil
}

// dial connects to conntrack in the current thread's network namespace.
func dial() (*lib.Conn, error) {
	c, err := lib.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("opening a conntrack netlink socket: %w", err)
	}
	return c, nil
}
