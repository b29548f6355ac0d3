package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"pbr/kernel/internal/fault"
)

// Message types and attributes of conntrack's netlink (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctNew    = unix.NFNL_SUBSYS_CTNETLINK << 8
	ctGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 + 1
	ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 + 2

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaTimeout    = 7
	ctaMark       = 8
	ctaCountOrig  = 9
	ctaCountReply = 10
	ctaID         = 12
	ctaZone       = 18
	ctaTimestamp  = 20
	ctaMarkMsk    = 21
	ctaFilter     = 25
)

// sizeofNfgen is the size of struct nfgenmsg: family, version, resource id.
const sizeofNfgen = 4

// ClearMarks clears the marks of the connections that have them under mask, and returns how many it
// cleared.
func ClearMarks(mask uint32, marks []uint32) (int, error) {
	total := 0
	for _, f := range Listings(mask, marks) {
		n, err := change(f, mask, func(f *Flow) (uint32, bool) { return 0, slices.Contains(marks, f.Mark&mask) })
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Listings returns the filters that find the connections with any of the marks. Each filter costs
// the kernel a walk of its whole table, so with more marks than the mask has bits there is one
// filter for each bit.
func Listings(mask uint32, marks []uint32) []MarkFilter {
	var out []MarkFilter
	if len(marks) <= bits.OnesCount32(mask) {
		for _, m := range marks {
			out = append(out, MarkFilter{m, mask})
		}
		return out
	}
	for rest := mask; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		out = append(out, MarkFilter{bit, bit})
	}
	return out
}

// change changes the bits of mask in the marks of the connections that filter lists to what choose
// returns, and returns how many it changed. choose gets each connection as it was listed.
func change(filter MarkFilter, mask uint32, choose func(f *Flow) (next uint32, ok bool)) (int, error) {
	c, err := Dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	flows, err := List(c, filter)
	if err != nil {
		return 0, err
	}
	var marks []Marking
	for i := range flows {
		if next, ok := choose(&flows[i]); ok {
			marks = append(marks, Marking{&flows[i], next, mask})
		}
	}
	return SetMarks(c, marks)
}

// Dial connects to conntrack in the current thread's network namespace, for List and the methods of
// Flow.
func Dial() (*netlink.Conn, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("opening a conntrack netlink socket: %w", err)
	}
	return c, nil
}

// List lists the connections with a mark.
func List(c *netlink.Conn, filter MarkFilter) ([]Flow, error) {
	if err := fault.At("before listing connections"); err != nil {
		return nil, err
	}
	if none(c) {
		return nil, nil
	}
	body, err := appendMarks(netlink.NewAttributeEncoder(), filter.mark, filter.mask).Encode()
	var flows []netlink.Message
	if err == nil {
		flows, err = c.Execute(netlink.Message{
			Header: netlink.Header{Type: ctGet, Flags: netlink.Request | netlink.Dump},
			Data:   append(make([]byte, sizeofNfgen), body...),
		})
	}
	if err != nil {
		return nil, fmt.Errorf("listing connections with mark 0x%x/0x%x: %w", filter.mark, filter.mask, err)
	}
	var out []Flow
	for _, f := range flows {
		if m, ok := identify(f.Data); ok && m.Mark&filter.mask == filter.mark {
			out = append(out, m)
		}
	}
	return out, nil
}

// Unsupported reports whether an error means that the kernel has no messages about connections.
func Unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// Remove deletes a connection, so that its next packet starts a new one. It reports whether the
// connection still existed.
func (f *Flow) Remove(c *netlink.Conn) (bool, error) {
	if err := fault.At("before deleting a connection"); err != nil {
		return false, err
	}
	request := f.removal()
	request.Header.Flags |= netlink.Acknowledge
	_, err := c.Execute(request)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENOENT): // it has ended meanwhile
		return false, nil
	}
	return false, fmt.Errorf("deleting a connection: %w", err)
}

// SetMark changes the bits of mask in a connection's mark, and reports whether the connection still
// exists. The kernel changes only the bits of CTA_MARK_MASK, so others' bits stay; no connection is
// deleted. The messages are our own: the library omits a mark of zero, and cannot send back what it
// listed.
func (f *Flow) SetMark(c *netlink.Conn, bits, mask uint32) (bool, error) {
	if err := fault.At("before marking a connection"); err != nil {
		return false, err
	}
	m := Marking{f, bits, mask}
	request, err := m.request()
	if err == nil {
		request.Header.Flags |= netlink.Acknowledge
		_, err = c.Execute(request)
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENOENT): // it has ended meanwhile
		return false, nil
	}
	return false, m.failed(err)
}

// identify turns a listed connection's message into the start of a request to change it.
func identify(listed []byte) (f Flow, ok bool) {
	if len(listed) < sizeofNfgen {
		return f, false
	}
	ad, err := netlink.NewAttributeDecoder(listed[sizeofNfgen:])
	if err != nil {
		return f, false
	}
	ae := netlink.NewAttributeEncoder()
	for ad.Next() {
		switch b := ad.Bytes(); ad.Type() {
		case ctaTupleOrig:
			ae.Bytes(ctaTupleOrig|unix.NLA_F_NESTED, b)
			ad.Nested(decodeInto(&f.Orig, &f.EchoID))
			ok = true
		case ctaTupleReply:
			ad.Nested(decodeInto(&f.Reply, new(uint16)))
		case ctaZone, ctaID:
			ae.Bytes(ad.Type(), b)
		case ctaMark:
			if len(b) == 4 {
				f.Mark = binary.BigEndian.Uint32(b)
			}
		case ctaTimeout:
			if len(b) == 4 {
				f.Expires = time.Duration(binary.BigEndian.Uint32(b)) * time.Second
			}
		default:
			f.Traffic.decode(ad)
		}
	}
	body, err := ae.Encode()
	f.request = append([]byte{listed[0], 0, 0, 0}, body...)
	return f, ok && err == nil && ad.Err() == nil
}

func appendMarks(ae *netlink.AttributeEncoder, mark, mask uint32) *netlink.AttributeEncoder {
	ae.ByteOrder = binary.BigEndian
	ae.Uint32(ctaMark, mark)
	ae.Uint32(ctaMarkMsk, mask)
	return ae
}
