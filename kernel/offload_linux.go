package kernel

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// offload caches what the kernel supports for flowtables: asking takes a transaction, which takes
// milliseconds.
type offload struct {
	asked      bool
	flowtables bool
	// hardware has the interfaces that were asked about.
	hardware map[string]bool
}

// learn fills in what m says about offload. Without the privilege to ask, everything that a current
// kernel has counts as present. A kernel that cannot be asked at all has no nftables, and so no
// flowtables.
func (o *offload) learn(c *nft.Conn, m *plan.HostFacts, hardware bool) {
	var unknown []string
	if hardware {
		for name, link := range m.Links {
			if _, known := o.hardware[name]; !known && !link.Loopback && link.Below == nil {
				unknown = append(unknown, name)
			}
		}
		slices.Sort(unknown)
	}
	if !o.asked || len(unknown) > 0 {
		found, err := c.ProbeOffload(unknown)
		if err != nil {
			m.NoFlowtables = !errors.Is(err, unix.EPERM)
			return
		}
		o.asked, o.flowtables = true, found.Flowtables
		for name := range o.hardware {
			if _, exists := m.Links[name]; !exists {
				delete(o.hardware, name) // -- another interface may get that name
			}
		}
		if o.hardware == nil {
			o.hardware = map[string]bool{}
		}
		for name, can := range found.Hardware {
			o.hardware[name] = can
		}
	}
	m.NoFlowtables = !o.flowtables
	for name, link := range m.Links {
		link.Hardware = o.hardware[name]
		m.Links[name] = link
	}
}
