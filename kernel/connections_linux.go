package kernel

import (
	"fmt"

	"github.com/ti-mo/conntrack"
)

// Connections counts the connections of both families by the bits of mask in their mark; those without any are
// under 0. It may run beside anything else, in a thread of k's network namespace.
func (k *Kernel) Connections(mask uint32) (map[uint32]Usage, error) {
	c, err := dialConntrack()
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

// dialConntrack connects to the conntrack of the current thread's network namespace.
func dialConntrack() (*conntrack.Conn, error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("opening a conntrack netlink socket: %w", err)
	}
	return c, nil
}
