package adopt

import (
	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// Types of addresses (RTN_*, linux/rtnetlink.h).
const (
	rtnUnicast = 1
	rtnLocal   = 2
)

// packet is the connection's first packet as it would look if it arrived now on an interface.
func (c *connection) packet(iif string) *walk.Packet {
	t := &c.flow.Orig
	p := &walk.Packet{
		IIF: iif, Src: t.Src, Dst: t.Dst, Proto: t.Proto, SPort: t.SPort, DPort: t.DPort, ICMPType: t.ICMPType,
		CTState: walk.StateNew, Time: c.facts.Now, CTMark: c.flow.Mark &^ c.plan.Mask, Fib: c.fib,
	}
	p.NoPorts = !t.HasPorts && !ipproto.IsICMP(t.Proto)
	p.MAC, p.Ethernet = c.facts.MACs[t.Src]
	return p
}

// fib answers what rules ask about the routes of the connection's addresses.
func (c *connection) fib(f plan.Field) uint32 {
	own := false
	switch f {
	case plan.FieldFibSAddrType:
		own = c.Judge.local(c.flow.Orig.Src)
	case plan.FieldFibDAddrType:
		own = c.Judge.local(c.flow.Orig.Dst)
	case plan.FieldFibSAddrOIFType:
		return rtnUnicast // asked of its uplink alone, whose addresses are known
	default:
		return 1 // there is a way back
	}
	if own {
		return rtnLocal
	}
	return rtnUnicast
}

// unknown reports whether a rule matches something that conntrack does not store.
func (c *connection) unknown(f plan.Field, mask uint32) bool {
	switch f {
	case plan.FieldIIFName, plan.FieldOIFName, plan.FieldNFProto, plan.FieldL4Proto, plan.FieldIPSAddr, plan.FieldIPDAddr,
		plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldSPort, plan.FieldDPort, plan.FieldICMPType, plan.FieldICMPv6Type,
		plan.FieldCTMark, plan.FieldCTState, plan.FieldCTStatus, plan.FieldCTDirection,
		plan.FieldFibSAddrType, plan.FieldFibDAddrType, plan.FieldFibSAddrOIFType, plan.FieldFibSAddrBack,
		plan.FieldTime:
		return false
	case plan.FieldMark:
		return mask&^c.plan.Mask != 0
	case plan.FieldEtherSAddr:
		_, known := c.facts.MACs[c.flow.Orig.Src]
		return !known && !c.local
	case plan.FieldSKUID, plan.FieldSKGID:
		return c.local
	}
	if f.CgroupLevel() > 0 {
		return c.local
	}
	return true
}
