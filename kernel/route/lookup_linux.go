package route

import (
	"net/netip"
)

// LeadsThrough reports whether the kernel sends an unmarked packet to an address through an
// interface.
func (c *Conn) LeadsThrough(to netip.Addr, iface string) bool {
	w, err := c.Way(Query{Dst: to})
	return err == nil && w.Dev == iface
}
