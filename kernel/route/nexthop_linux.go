package route

import (
	"net/netip"

	"github.com/vishvananda/netlink"

	"pbr/compiler/walk"
)

// NextHop asks the kernel which interface and gateway it would choose for a flow now; ok is false if it refuses the flow.
func (c *Conn) NextHop(f *walk.Flow) (dev string, via netip.Addr, ok bool) {
	options := &netlink.RouteGetOptions{SrcAddr: f.Src.AsSlice(), Mark: f.Mark}
	if f.IIF == "lo" {
		options.UID = &f.UID
	} else {
		options.Iif = f.IIF
	}
	routes, err := c.handle.RouteGetWithOptions(f.Dst.AsSlice(), options)
	if err != nil || len(routes) != 1 {
		return "", via, false
	}
	link, err := c.handle.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", via, false
	}
	via, _ = netip.AddrFromSlice(routes[0].Gw)
	return link.Attrs().Name, via.Unmap(), true
}
