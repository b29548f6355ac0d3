package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
)

// ctaIPv6Src and ctaIPv6Dst are addresses of a tuple (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctaIPv6Src = 3
	ctaIPv6Dst = 4
)

// Mark gives unmarked connections of addresses a mark, so that they stay on their uplink when default leaves it, and returns
// how many. Each takes a message of its own: about 20 µs. It may run beside anything else.
func Mark(pins []Pin) (int, error) {
	total := 0
	var errs []error
	for _, p := range pins {
		if p.Mark == 0 || p.Mark&^p.Mask != 0 {
			return 0, fmt.Errorf("pinning connections by mark 0x%x/0x%x: no such mark under this mask", p.Mark, p.Mask)
		}
		addrs := map[netip.Addr]bool{}
		for _, a := range p.Addrs {
			addrs[a.Unmap()] = true
		}
		if len(addrs) == 0 {
			continue
		}
		n, err := change(MarkFilter{0, p.Mask}, p.Mask, func(flow []byte, _ uint32) (uint32, bool) { return p.Mark, flowHas(flow, addrs) })
		total += n
		errs = append(errs, err)
	}
	return total, errors.Join(errs...)
}

// flowHas tells whether the other end of a listed connection answers to one of the addresses, or it was opened to or from one.
func flowHas(flow []byte, addrs map[netip.Addr]bool) (found bool) {
	ad, err := netlink.NewAttributeDecoder(flow[sizeofNfgen:])
	if err != nil {
		return false
	}
	for ad.Next() {
		switch ad.Type() {
		case ctaTupleOrig:
			ad.Nested(func(t *netlink.AttributeDecoder) error {
				src, dst := tupleAddrs(t)
				found = found || addrs[src] || addrs[dst]
				return nil
			})
		case ctaTupleReply:
			ad.Nested(func(t *netlink.AttributeDecoder) error {
				_, dst := tupleAddrs(t)
				found = found || addrs[dst]
				return nil
			})
		}
	}
	return found && ad.Err() == nil
}

// tupleAddrs reads the addresses of a tuple.
func tupleAddrs(tuple *netlink.AttributeDecoder) (src, dst netip.Addr) {
	for tuple.Next() {
		if tuple.Type() != ctaTupleIP {
			continue
		}
		tuple.Nested(func(ip *netlink.AttributeDecoder) error {
			for ip.Next() {
				addr, _ := netip.AddrFromSlice(ip.Bytes())
				switch ip.Type() {
				case ctaIPv4Src, ctaIPv6Src:
					src = addr
				case ctaIPv4Dst, ctaIPv6Dst:
					dst = addr
				}
			}
			return nil
		})
	}
	return src, dst
}

// Ends returns who opened a connection, and who answers it; an address that cannot be read is invalid.
func (f *Flow) Ends() (ends [2]netip.Addr) {
	ad, err := netlink.NewAttributeDecoder(f.listed[sizeofNfgen:])
	if err != nil {
		return ends
	}
	for ad.Next() {
		i := 0
		switch ad.Type() {
		case ctaTupleOrig:
		case ctaTupleReply:
			i = 1
		default:
			continue
		}
		ad.Nested(func(t *netlink.AttributeDecoder) error {
			ends[i], _ = tupleAddrs(t)
			return nil
		})
	}
	return ends
}
