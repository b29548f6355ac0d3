package reference

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Classes gives p other policies.
func (g *Generator) Classes(p *Policy) {
	p.Policies = nil
	n := 1 + g.IntN(9)
	if g.chance(3) {
		n += g.IntN(20)
	}
	for i := range n {
		p.Policies = append(p.Policies, g.class(p, fmt.Sprintf("policy-%d", i)))
	}
}

// protosOf omits the ICMP that a theme does not have.
func protosOf(th theme) []uint8 {
	return slices.DeleteFunc(slices.Clone(protos), func(v uint8) bool { return v == 1 && th == 6 || v == 58 && th == 4 })
}

func (g *Generator) class(p *Policy, name string) Class {
	local, th := g.chance(4), g.theme()
	c := Class{Name: name, From: g.from(local)}
	if g.chance(2) {
		c.Src = g.addrItems(p, th, true, true)
	}
	if !g.chance(3) {
		c.Dst = g.addrItems(p, th, false, true)
	}
	g.protocol(&c, th)
	if g.chance(5) {
		c.DSCP = oneNum(g, dscps, true)
	}
	if g.chance(8) {
		c.Schedule = pick(g, []string{"on", "off"})
	}
	if g.chance(8) {
		c.Mark, c.MarkMask = pick(g, []uint32{0, 1}), pick(g, []uint32{0x1, 0x3})
	}
	if th != both && g.chance(4) {
		c.IPVersion = int(th)
	}
	// What only one kind of traffic has is asked for only where the other kind is not meant.
	if local && len(c.From) == 1 {
		g.sender(&c)
	}
	if !local && g.chance(6) {
		c.MAC = [][6]byte{pick(g, MACs)}
	}
	g.target(p, &c)
	return c
}

// from is the router itself, alone or beside an interface, or where hosts' packets arrive.
func (g *Generator) from(local bool) []NameItem {
	switch {
	case local && g.chance(3):
		return []NameItem{{Name: "local"}, {Name: pick(g, append([]string{everyInterface}, g.World.Arrivals...))}}
	case local:
		return []NameItem{{Name: "local"}}
	case g.chance(3):
		return []NameItem{{Name: pick(g, g.World.Arrivals), Not: g.chance(4)}}
	}
	return nil
}

// protocol has a policy select by protocol, by ports, or by ICMP type.
func (g *Generator) protocol(c *Class, th theme) {
	switch g.IntN(6) {
	case 0:
		c.Proto = oneNum(g, protosOf(th), true)
	case 1:
		c.Proto = oneNum(g, []uint8{6, 17}, false)
		fallthrough
	case 2:
		if g.chance(3) {
			c.SPort = g.portItems(true)
		}
		c.DPort = g.portItems(true)
	case 3:
		c.ICMP = []string{"echo-request"}
		if th == 4 && g.chance(2) {
			c.ICMP = []string{"timestamp-request"}
		}
	}
}

// sender has a policy select by who sends on the router.
func (g *Generator) sender(c *Class) {
	if g.chance(2) {
		c.UID = oneNum(g, uids, false)
	}
	if g.chance(4) {
		c.GID = oneNum(g, gids, false)
	}
	if len(g.World.Cgroups) > 0 {
		g.programs(c)
	}
}

// target is what a policy does.
func (g *Generator) target(p *Policy, c *Class) {
	switch g.IntN(7) {
	case 6:
		c.Action = pick(g, []string{"unreachable", "drop"})
	case 0:
		c.Default = true
	case 1:
		c.Uplink, c.Strict = pick(g, p.Uplinks).Name, g.chance(2)
	case 2, 3:
		if len(p.Balances) > 0 {
			c.Balance, c.Strict = pick(g, p.Balances).Name, g.chance(3)
			break
		}
		fallthrough
	default:
		c.Table = pick(g, p.Tables).Name
	}
}

// programs has a policy select by control group, by unit, or by both.
func (g *Generator) programs(c *Class) {
	for range g.IntN(3) {
		c.Cgroup = append(c.Cgroup, g.above(pick(g, g.World.Cgroups)))
	}
	c.Cgroup = slices.Compact(c.Cgroup)
	if g.chance(3) {
		c.Unit = []string{path.Base(g.above(pick(g, g.World.Cgroups)))}
	}
}

// above is a control group or one that it is in.
func (g *Generator) above(cgroup string) string {
	for g.chance(3) && strings.Contains(cgroup, "/") {
		cgroup = path.Dir(cgroup)
	}
	return cgroup
}
