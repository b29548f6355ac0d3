package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
)

// Mark gives unmarked connections of addresses a mark, so that they stay on their uplink when
// default leaves it. It returns how many. It sends one message for each connection. It may run
// concurrently with everything else.
func Mark(pins []Pin) (int, error) {
	total := 0
	var errs []error
	for _, p := range pins {
		if p.Mark == 0 || p.Mark&^p.Mask != 0 {
			return 0, fmt.Errorf("pinning connections by mark 0x%x/0x%x: the mask has no such mark", p.Mark, p.Mask)
		}
		addrs := map[netip.Addr]bool{}
		for _, a := range p.Addrs {
			addrs[a.Unmap()] = true
		}
		if len(addrs) == 0 {
			continue
		}
		n, err := change(MarkFilter{0, p.Mask}, p.Mask, func(f *Flow) (uint32, bool) {
			// The answers go to one of the addresses, or the connection was opened to or from one.
			return p.Mark, addrs[f.Orig.Src] || addrs[f.Orig.Dst] || addrs[f.Reply.Dst]
		})
		total += n
		errs = append(errs, err)
	}
	return total, errors.Join(errs...)
}
