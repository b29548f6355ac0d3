package kernel

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// offload remembers what the kernel said about flowtables: it is asked by a transaction, which
// takes milliseconds.
type offload struct {
	asked      bool
	flowtables bool
	// hardware has the interfaces that were asked about.
	hardware map[string]bool
}

// learn fills in what m has of offload. Without the privilege to ask, everything that a kernel of
// today has counts as there; one that cannot even be asked has no nftables, and no flowtables.
func (o *offload) learn(c *nft.Conn, m *plan.Machine, hardware bool) {
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
				delete(o.hardware, name) // another of that name may come
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
