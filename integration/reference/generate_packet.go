package reference

import (
	"net/netip"
)

// Packet makes the first packet of a connection.
func (g *Generator) Packet() Packet {
	v6 := g.chance(3)
	k := Packet{IIF: pick(g, g.World.Arrivals), MAC: pick(g, MACs)}
	k.Src = g.addr(ofFamily(g.World.Sources, v6))
	k.Dst = g.addr(ofFamily(g.World.Destinations, v6))
	k.DSCP = dscps[max(0, g.IntN(2*len(dscps))-len(dscps))]
	switch n := g.IntN(20); {
	case n < 8:
		k.Proto = 17
	case n < 15:
		k.Proto = 6
	case n < 17:
		k.Proto = 50
	default:
		k.Proto, k.ICMPType, k.SPort = 1, pick(g, []uint8{8, 8, 13}), uint16(g.IntN(1<<16))
		if v6 {
			k.Proto, k.ICMPType = 58, 128
		}
	}
	if k.Proto == 6 || k.Proto == 17 {
		k.SPort, k.DPort = pick(g, ports)+uint16(g.IntN(3)*g.IntN(2000)), pick(g, ports)
	}
	return k
}

// LocalPacket makes a UDP packet of the router's own, from an address that the kernel chooses or
// one of srcs.
func (g *Generator) LocalPacket(srcs []netip.Addr) Packet {
	v6 := g.chance(3)
	k := Packet{UID: pick(g, uids), GID: pick(g, gids), Proto: 17, DPort: pick(g, ports)}
	if len(g.World.Cgroups) > 0 && !g.chance(5) {
		k.Cgroup = pick(g, g.World.Cgroups)
	}
	k.SPort = 20000 + uint16(g.IntN(20000))
	k.Dst = g.addr(ofFamily(g.World.Destinations, v6))
	if src := pick(g, srcs); g.chance(3) && src.Is6() == v6 {
		k.Src = src
	}
	return k
}

func ofFamily(pool []netip.Prefix, v6 bool) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range pool {
		if p.Addr().Is6() == v6 {
			out = append(out, p)
		}
	}
	return out
}
