package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

const (
	// flowtable is the name of the one flowtable, chainForward that of the chain that leads to it.
	flowtable    = "flows"
	chainForward = "forward"
	// priorityOffload is behind everyone else's filters at the forward hook (0 and 50,
	// linux/netfilter_ipv4.h), so that a firewall has let the connection through before it goes
	// past the firewall.
	priorityOffload = 200
	// maxDevices is what the kernel takes of them (NFT_NETDEVICE_MAX,
	// net/netfilter/nf_tables_api.c).
	maxDevices = 256
)

// Needs is what Compile wants to know of the machine for a document.
func Needs(doc *policy.Document) plan.Needs {
	o := doc.Settings.Offload
	needs := plan.Needs{Flowtables: o.Mode != policy.OffloadOff, Hardware: o.Mode != policy.OffloadOff && o.Hardware}
	needs.Gateways = namedGateways(doc)
	needs.Clock = policy.HasSchedule(doc)
	needs.Cgroups = programSets(doc)
	if policy.HasDomains(doc) {
		needs.Queue = doc.Settings.Queue
	}
	return needs
}

// addOffload adds the flowtable and the chain that puts connections into it, or tells why not.
func (c *compilation) addOffload() {
	o := c.doc.Settings.Offload
	switch {
	case o.Mode == policy.OffloadOff:
		return
	case c.host.NoFlowtables && o.Required:
		c.problem(o.Pos, policy.CodeNoOffload, "pbr.offload", "offload is required, and this kernel has no flowtables",
			"install or load the modules nf_flow_table_inet and nft_flow_offload, or leave required out")
		return
	case c.host.NoFlowtables && o.Pos.Line == 0:
		return // nobody asked for it: that is pbr doctor's to tell, not every apply's
	case c.host.NoFlowtables:
		c.postpone(plan.DeferredOffload,
			"this kernel has no flowtables (modules nf_flow_table_inet and nft_flow_offload): everything works, no faster; "+
				"offload = \"off\" says that this is meant")
		return
	}
	f := plan.Flowtable{Name: flowtable, Counter: true}
	if c.host.Known {
		f.Devices = c.offloadDevices()
		c.offloadHardware(&f)
		c.limitDevices(&f)
	} else {
		f.Late, f.Required = true, o.Required
		f.Devices = slices.Compact(slices.Sorted(slices.Values(slices.Concat(c.offloadUplinks(), c.offloadNames()))))
		for i := range c.doc.Uplinks {
			if name := c.doc.Uplinks[i].Interface; !slices.Contains(f.Devices, name) {
				f.Except = append(f.Except, name)
			}
		}
	}
	c.out.Ruleset.Flowtables = append(c.out.Ruleset.Flowtables, f)
	c.addSharedSet(portProtocols())
	c.addChain(plan.Chain{Name: chainForward, Kind: "filter", Hook: "forward", Priority: priorityOffload,
		Rules: append(c.tapOffload(), c.offloadRule())})
}

// offloadRule puts a connection into the flowtable. The packet that does it is one towards an
// uplink: its own route is the right one whatever led to it, marks and rules, while the kernel
// looks up the way back by addresses alone, which is what packets from an uplink get. It does so
// with the packet's mark, so that ours has to go before.
func (c *compilation) offloadRule() plan.ChainRule {
	add := plan.Offload{Flowtable: flowtable}
	rest := when(notInSet(plan.FieldIIFName, setUplinks), anyBit(plan.FieldCTState, stateEstablished),
		inSet(plan.FieldL4Proto, setPortProto))
	if c.doc.Settings.Offload.Mode == policy.OffloadAll {
		return rule("established: offload", rest, plan.SetMark{Mask: c.mask, Value: c.answersMark()}, add)
	}
	return rule("established, unmarked: offload", append(when(markMatch(plan.FieldCTMark, c.mask, 0, false)), rest...), add)
}

// offloadUplinks are the interfaces of the uplinks that offloaded connections can go by.
func (c *compilation) offloadUplinks() (names []string) {
	if c.doc.Settings.Offload.Mode == policy.OffloadAll {
		for i := range c.doc.Uplinks {
			names = append(names, c.doc.Uplinks[i].Interface)
		}
		return names
	}
	if c.doc.Default != nil {
		for _, r := range c.doc.Default.Routes {
			names = append(names, c.uplinks[r.Uplink].Interface)
		}
	}
	return names
}

// offloadNames are the interfaces that policies name; the last character may be "*".
func (c *compilation) offloadNames() (names []string) {
	for i := range c.doc.Policies {
		for _, from := range c.doc.Policies[i].From {
			if !from.Not {
				names = append(names, from.Name)
			}
		}
	}
	return names
}

// offloadDevices are the machine's interfaces that offloaded connections come and go by: uplinks,
// those that a policy names, and all others that have addresses, so that hosts can use them as
// their gateway.
func (c *compilation) offloadDevices() (devices []string) {
	uplinks, wanted := map[string]bool{}, map[string]bool{}
	for i := range c.doc.Uplinks {
		uplinks[c.doc.Uplinks[i].Interface] = true
	}
	for _, name := range c.offloadUplinks() {
		wanted[name] = true
	}
	named := c.offloadNames()
	for _, name := range slices.Sorted(maps.Keys(c.host.Links)) {
		link := c.host.Links[name]
		switch {
		case link.Loopback:
		case uplinks[name] && !wanted[name]:
		case wanted[name], slices.ContainsFunc(named, func(n string) bool { return plan.NamesInterface(n, name) }),
			len(link.Addrs) > 0 && !link.Port:
			devices = append(devices, name)
		}
	}
	return devices
}

// offloadHardware makes a flowtable one of the hardware, if that is asked for and all of its
// interfaces can: those that carry the frames, since a bridge or a VLAN has no hardware of its own.
func (c *compilation) offloadHardware(f *plan.Flowtable) {
	o := c.doc.Settings.Offload
	if !o.Hardware {
		return
	}
	var lowest, cannot []string
	for _, name := range f.Devices {
		lowest = append(lowest, c.lowest(name, 0)...)
	}
	slices.Sort(lowest)
	lowest = slices.Compact(lowest)
	for _, name := range lowest {
		if !c.host.Links[name].Hardware {
			cannot = append(cannot, name)
		}
	}
	switch {
	case cannot == nil:
		f.Hardware, f.Devices = true, lowest
	case o.Required:
		c.problem(o.Pos, policy.CodeNoOffload, "pbr.offload",
			fmt.Sprintf("hardware offload is required, and %s cannot do it", strings.Join(cannot, ", ")),
			"leave hardware out, or required")
	default:
		c.postpone(plan.DeferredOffload, fmt.Sprintf("%s cannot offload in hardware: the kernel's software does it",
			strings.Join(cannot, ", ")))
	}
}

// deepest is how many interfaces of the kernel's can be stacked (MAX_NEST_DEV, linux/netdevice.h).
const deepest = 8

// lowest lists the interfaces that carry the frames of one.
func (c *compilation) lowest(name string, depth int) (names []string) {
	below := c.host.Links[name].Below
	if len(below) == 0 || depth == deepest {
		return []string{name}
	}
	for _, b := range below {
		names = append(names, c.lowest(b, depth+1)...)
	}
	return names
}

// limitDevices omits what the kernel would refuse as too many: the last by name of those that are
// no uplink's.
func (c *compilation) limitDevices(f *plan.Flowtable) {
	var left int
	for i := len(f.Devices) - 1; i >= 0 && len(f.Devices) > maxDevices; i-- {
		if !slices.Contains(c.offloadUplinks(), f.Devices[i]) {
			f.Devices = slices.Delete(f.Devices, i, i+1)
			left++
		}
	}
	if left > 0 {
		c.postpone(plan.DeferredOffload, fmt.Sprintf("a flowtable takes %d interfaces, %d are left out", maxDevices, left))
	}
}
