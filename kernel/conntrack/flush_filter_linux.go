package conntrack

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/netfilter"
	"golang.org/x/sys/unix"
)

// Attributes and flags of a deletion by address (linux/netfilter/nfnetlink_conntrack.h), which the
// library lacks.
const (
	ctaTupleIP  = 1
	ctaIPv4Src  = 1
	ctaIPv4Dst  = 2
	filterOrig  = 1 // CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS: which fields of the tuples select
	filterReply = 2
	filterIPSrc = 1 << 0
	filterIPDst = 1 << 1
)

// addressFilter is one field of a connection that can hold an address.
type addressFilter struct {
	tuple, field uint16
	orig, reply  uint32
}

// addressFilters are the fields that can hold an uplink's address: the translated source, the
// destination, the source.
var addressFilters = [...]addressFilter{
	{ctaTupleReply, ctaIPv4Dst, 0, filterIPDst},
	{ctaTupleOrig, ctaIPv4Dst, filterIPDst, 0},
	{ctaTupleOrig, ctaIPv4Src, filterIPSrc, 0},
}

// flushAddress deletes the connections of an IPv4 address that have this mark under mask.
//
// Kernels before 6.11 have no such filter for deletion. They cannot mistake the request for one
// that deletes everything: to them a request with a tuple deletes one connection, and they refuse
// this one (EINVAL) because the tuple has no protocol.
func flushAddress(mark, mask uint32, addr netip.Addr) error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("opening a conntrack netlink socket: %w", err)
	}
	defer c.Close()
	for _, f := range addressFilters {
		body, err := f.marshal(mark, mask, addr)
		if err != nil {
			return err
		}
		if _, err := c.Execute(netlink.Message{
			Header: netlink.Header{Type: ctDelete, Flags: netlink.Request | netlink.Acknowledge}, Data: body,
		}); err != nil {
			return err
		}
	}
	return nil
}

// marshal returns the message's body. Its struct nfgenmsg has version 1; with any other version the
// kernel ignores the family.
func (f *addressFilter) marshal(mark, mask uint32, addr netip.Addr) ([]byte, error) {
	attrs, err := netfilter.MarshalAttributes([]netfilter.Attribute{
		{Type: f.tuple, Nested: true, Children: []netfilter.Attribute{
			{Type: ctaTupleIP, Nested: true, Children: []netfilter.Attribute{{Type: f.field, Data: addr.AsSlice()}}},
		}},
		{Type: ctaFilter, Nested: true, Children: []netfilter.Attribute{
			// These two are in host byte order, unlike everything else.
			{Type: filterOrig, Data: binary.NativeEndian.AppendUint32(nil, f.orig)},
			{Type: filterReply, Data: binary.NativeEndian.AppendUint32(nil, f.reply)},
		}},
		{Type: ctaMark, Data: netfilter.Uint32Bytes(mark)},
		{Type: ctaMarkMsk, Data: netfilter.Uint32Bytes(mask)},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding a conntrack filter: %w", err)
	}
	return append([]byte{unix.AF_INET, 1, 0, 0}, attrs...), nil
}
