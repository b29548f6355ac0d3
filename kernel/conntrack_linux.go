package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Message types and attributes of conntrack's netlink (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctNew    = unix.NFNL_SUBSYS_CTNETLINK << 8
	ctGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 + 1
	ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 + 2

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaMark       = 8
	ctaZone       = 18
	ctaMarkMsk    = 21
	ctaFilter     = 25
)

// sizeofNfgen is that of struct nfgenmsg: family, version, resource id.
const sizeofNfgen = 4

// clearMarks takes marks off the connections that have them under mask, and returns off how many.
func clearMarks(mask uint32, marks []uint32) (int, error) {
	total := 0
	for _, f := range listings(mask, marks) {
		n, err := remark(f, mask, func(_ []byte, mark uint32) (uint32, bool) { return 0, slices.Contains(marks, mark&mask) })
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// listings are the filters that find the connections with any of the marks. Each costs the kernel a walk of its whole table, so
// with more marks than the mask has bits there is one for each bit.
func listings(mask uint32, marks []uint32) []goneMark {
	var out []goneMark
	if len(marks) <= bits.OnesCount32(mask) {
		for _, m := range marks {
			out = append(out, goneMark{m, mask})
		}
		return out
	}
	for rest := mask; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		out = append(out, goneMark{bit, bit})
	}
	return out
}

// remark changes the bits of mask in the marks of connections that filter lists to what choose says, and returns in how many. choose
// is given the connection as it was listed (a struct nfgenmsg and attributes) and its mark. The kernel changes the bits of
// CTA_MARK_MASK alone, so that others' bits stay; no connection is deleted.
// The messages are our own because the library leaves a mark of zero out, and what it lists it cannot send back as it was.
func remark(filter goneMark, mask uint32, choose func(flow []byte, mark uint32) (next uint32, ok bool)) (int, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, fmt.Errorf("opening a conntrack netlink socket: %w", err)
	}
	defer c.Close()
	flows, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: ctGet, Flags: netlink.Request | netlink.Dump},
		Data:   appendMarks(make([]byte, sizeofNfgen), filter.mark, filter.mask),
	})
	if err != nil {
		return 0, fmt.Errorf("listing connections with mark 0x%x/0x%x: %w", filter.mark, filter.mask, err)
	}
	n := 0
	for _, f := range flows {
		body, mark, ok := identify(f.Data)
		if !ok || mark&filter.mask != filter.mark {
			continue
		}
		next, ok := choose(f.Data, mark)
		if !ok {
			continue
		}
		body = appendMarks(body, next, mask)
		_, err := c.Execute(netlink.Message{Header: netlink.Header{Type: ctNew, Flags: netlink.Request | netlink.Acknowledge}, Data: body})
		switch {
		case err == nil:
			n++
		case !errors.Is(err, unix.ENOENT): // it has ended meanwhile
			return n, fmt.Errorf("changing mark 0x%x/0x%x of a connection: %w", mark&mask, mask, err)
		}
	}
	return n, nil
}

// identify makes a listed connection's message the beginning of a request to change it, and returns its mark.
func identify(flow []byte) (body []byte, mark uint32, ok bool) {
	if len(flow) < sizeofNfgen {
		return nil, 0, false
	}
	ad, err := netlink.NewAttributeDecoder(flow[sizeofNfgen:])
	if err != nil {
		return nil, 0, false
	}
	body = append(body, flow[0], 0, 0, 0)
	for ad.Next() {
		switch b := ad.Bytes(); ad.Type() {
		case ctaTupleOrig:
			body, ok = appendAttr(body, ctaTupleOrig|unix.NLA_F_NESTED, b), true
		case ctaZone:
			body = appendAttr(body, ctaZone, b)
		case ctaMark:
			if len(b) == 4 {
				mark = binary.BigEndian.Uint32(b)
			}
		}
	}
	return body, mark, ok && ad.Err() == nil
}

func appendMarks(b []byte, mark, mask uint32) []byte {
	b = appendAttr(b, ctaMark, binary.BigEndian.AppendUint32(nil, mark))
	return appendAttr(b, ctaMarkMsk, binary.BigEndian.AppendUint32(nil, mask))
}

// appendAttr appends a netlink attribute, padded to four bytes.
func appendAttr(b []byte, typ uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), data...)
	return append(b, make([]byte, -len(data)&3)...)
}
