package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

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

// clearMark sets the bits of g.mask to zero in every connection whose mark has g.mark there, and returns in how many.
func clearMark(g goneMark) (int, error) {
	return remark(g, func([]byte) (uint32, bool) { return 0, true })
}

// remark changes the bits of old.mask in connections whose mark has old.mark there to what choose says, and returns in how many. choose
// is given the connection as it was listed (a struct nfgenmsg and attributes). The kernel changes the bits of CTA_MARK_MASK
// alone, so that others' bits stay; no connection is deleted.
// The messages are our own because the library leaves a mark of zero out, and what it lists it cannot send back as it was.
func remark(old goneMark, choose func(flow []byte) (mark uint32, ok bool)) (int, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, fmt.Errorf("opening a conntrack netlink socket: %w", err)
	}
	defer c.Close()
	flows, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: ctGet, Flags: netlink.Request | netlink.Dump},
		Data:   appendMarks(make([]byte, sizeofNfgen), old.mark, old.mask),
	})
	if err != nil {
		return 0, fmt.Errorf("listing connections with mark 0x%x/0x%x: %w", old.mark, old.mask, err)
	}
	n := 0
	for _, f := range flows {
		body, mark, ok := identify(f.Data)
		if !ok || mark&old.mask != old.mark {
			continue
		}
		next, ok := choose(f.Data)
		if !ok {
			continue
		}
		body = appendMarks(body, next, old.mask)
		_, err := c.Execute(netlink.Message{Header: netlink.Header{Type: ctNew, Flags: netlink.Request | netlink.Acknowledge}, Data: body})
		switch {
		case err == nil:
			n++
		case !errors.Is(err, unix.ENOENT): // it has ended meanwhile
			return n, fmt.Errorf("changing mark 0x%x/0x%x of a connection: %w", old.mark, old.mask, err)
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
