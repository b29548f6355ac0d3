package plan

import "slices"

// Flowtable is where offloaded connections are: their packets go from device to device at the
// ingress hook, past all chains, rules and routing (Documentation/networking/nf_flowtable.rst).
type Flowtable struct {
	Name string
	// Priority is that of the ingress hook; 0 is nft's "filter".
	Priority int32
	// Devices are the interfaces whose incoming packets are looked up, sorted. The kernel takes
	// only existing ones, and takes out by itself one that goes away.
	Devices []string
	// Hardware asks the devices to forward by themselves (NFT_FLOWTABLE_HW_OFFLOAD,
	// linux/netfilter/nf_tables.h). The kernel refuses devices that cannot.
	Hardware bool
	// Counter keeps the connections' counters going (NFT_FLOWTABLE_COUNTER).
	Counter bool
	// Late is set in plans for no machine: Devices are then candidates, names of which the last
	// character may be "*", to which those interfaces come that the machine has global addresses
	// on, except for Except, sorted. Without Required, neither the flowtable nor the chains that
	// use it are made where the kernel has no flowtables.
	Late, Required bool
	Except         []string
	// Foreign has, in live plans, properties that pbr never sets.
	Foreign string
}

// FlowtableChange adds (Have nil), removes (Want nil) or edits a flowtable. With both set and
// Rebuild false only devices differ: Remove and Add, sorted. Rebuild means that the rest differs:
// it is deleted and recreated in the same transaction.
type FlowtableChange struct {
	Have, Want  *Flowtable
	Rebuild     bool
	Remove, Add []string
}

// diffFlowtable compares two flowtables of the same name; ok is false when they are the same.
func diffFlowtable(h, w *Flowtable) (ch FlowtableChange, ok bool) {
	ch = FlowtableChange{Have: h, Want: w}
	if h == nil || w == nil {
		return ch, true
	}
	ch.Rebuild = h.Priority != w.Priority || h.Hardware != w.Hardware || h.Counter != w.Counter || h.Foreign != w.Foreign
	if !ch.Rebuild {
		ch.Remove, ch.Add = without(h.Devices, w.Devices), without(w.Devices, h.Devices)
	}
	return ch, ch.Rebuild || len(ch.Remove) > 0 || len(ch.Add) > 0
}

// Uses reports whether a rule of the chain leads to the flowtable.
func (c *Chain) Uses(flowtable string) bool {
	return slices.ContainsFunc(c.Rules, func(r ChainRule) bool {
		return slices.ContainsFunc(r.Actions, func(a Action) bool { return a == Action(Offload{flowtable}) })
	})
}

// without returns what list has and other has not.
func without(list, other []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(other, s) {
			out = append(out, s)
		}
	}
	return out
}
