package route

import (
	"net/netip"
)

// LeadsThrough reports whether the kernel sends an unmarked packet to an address through an
// interface.
func (c *Conn) LeadsThrough(to netip.Addr, iface string) bool {
	index, err := c.linkIndex(iface)
	if err != nil {
		return false
	}
	routes, err := c.handle.RouteGet(to.AsSlice())
	if err != nil {
		return false // unreachable
	}
	for _, r := range routes {
		if uint32(r.LinkIndex) == index {
			return true
		}
	}
	return false
}
