package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/netfilter"
	"golang.org/x/sys/unix"
)

// Find returns the connection that a tuple opened; nil if there is none. It asks the kernel for
// this one, however many there are. The tuple's protocol has ports.
func Find(t *Tuple) (*Flow, error) {
	c, err := Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	request, err := t.request()
	if err != nil {
		return nil, err
	}
	// The kernel marks the answer as one of several: the acknowledgement ends them.
	found, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: ctGet, Flags: netlink.Request | netlink.Acknowledge}, Data: request,
	})
	switch {
	case errors.Is(err, unix.ENOENT), err != nil && Unsupported(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking up a connection: %w", err)
	}
	for _, m := range found {
		// The kernel finds a connection by the tuple of its answers, too.
		if f, ok := identify(m.Data); m.Header.Type == ctNew && ok && f.Orig == *t {
			return &f, nil
		}
	}
	return nil, nil
}

// request returns the body of the message that asks for the connection of a tuple.
func (t *Tuple) request() ([]byte, error) {
	family, src, dst := byte(unix.AF_INET), uint16(ctaIPv4Src), uint16(ctaIPv4Dst)
	if t.Src.Is6() {
		family, src, dst = unix.AF_INET6, ctaIPv6Src, ctaIPv6Dst
	}
	port := func(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
	attrs, err := netfilter.MarshalAttributes([]netfilter.Attribute{{Type: ctaTupleOrig, Nested: true, Children: []netfilter.Attribute{
		{Type: ctaTupleIP, Nested: true, Children: []netfilter.Attribute{
			{Type: src, Data: t.Src.AsSlice()}, {Type: dst, Data: t.Dst.AsSlice()}}},
		{Type: ctaTupleProto, Nested: true, Children: []netfilter.Attribute{
			{Type: ctaProtoNum, Data: []byte{t.Proto}},
			{Type: ctaProtoSrcPort, Data: port(t.SPort)}, {Type: ctaProtoDstPort, Data: port(t.DPort)}}},
	}}})
	if err != nil {
		return nil, fmt.Errorf("encoding a connection's tuple: %w", err)
	}
	return append([]byte{family, 0, 0, 0}, attrs...), nil
}
