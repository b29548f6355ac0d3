package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// rtmLookupTable asks for the number of the table that decided (RTM_F_LOOKUP_TABLE,
// linux/rtnetlink.h).
const rtmLookupTable = 0x1000

// Attributes that golang.org/x/sys lacks (linux/rtnetlink.h).
const (
	rtaIPProto = 0x1b
	rtaSPort   = 0x1c
	rtaDPort   = 0x1d
)

// Way asks the kernel how it would route a packet with the present ip rules and routes. If there is
// no route, that is not an error.
func (c *Conn) Way(q Query) (Way, error) {
	family := plan.IPv4
	if q.Dst.Is6() {
		family = plan.IPv6
	}
	h := unix.RtMsg{Family: addressFamily(family), Dst_len: uint8(q.Dst.BitLen())}
	if family == plan.IPv4 { // -- IPv6 always reports it, and refuses the flag
		h.Flags = rtmLookupTable
	}
	var b []byte
	if q.Src.IsValid() {
		h.Src_len = uint8(q.Src.BitLen())
		b = appendAttr(b, unix.RTA_SRC, q.Src.AsSlice()...)
	}
	b = appendU32(appendAttr(b, unix.RTA_DST, q.Dst.AsSlice()...), unix.RTA_MARK, q.Mark)
	if q.IIF != "" {
		index, err := c.linkIndex(q.IIF)
		if err != nil {
			return Way{}, err
		}
		b = appendU32(b, unix.RTA_IIF, index)
	}
	if q.Proto != 0 {
		b = appendAttr(b, rtaIPProto, q.Proto)
		b = appendAttr(b, rtaSPort, binary.BigEndian.AppendUint16(nil, q.SPort)...)
		b = appendAttr(b, rtaDPort, binary.BigEndian.AppendUint16(nil, q.DPort)...)
	}
	msgs, err := c.ask(unix.RTM_GETROUTE, 0, unix.RTM_NEWROUTE, append(encodeHeader(h), b...))
	if err != nil {
		return refusal(err, q)
	}
	if len(msgs) == 0 || len(msgs[0]) < unix.SizeofRtMsg {
		return Way{}, fmt.Errorf("asking for the route to %s: no answer", q.Dst)
	}
	return c.decodeWay(msgs[0])
}

func encodeHeader(h unix.RtMsg) []byte {
	return binary.NativeEndian.AppendUint32([]byte{h.Family, h.Dst_len, h.Src_len, h.Tos, h.Table, h.Protocol, h.Scope, h.Type}, h.Flags)
}

// refusal distinguishes a packet without a route from a request that failed.
func refusal(err error, q Query) (Way, error) {
	switch {
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return Way{Refused: true}, nil
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENODEV):
		return Way{}, nil
	}
	return Way{}, fmt.Errorf("asking for the route from %s to %s: %w", q.Src, q.Dst, err)
}

func (c *Conn) decodeWay(msg []byte) (w Way, err error) {
	attrs, err := parseAttrs(msg[unix.SizeofRtMsg:])
	if err != nil {
		return w, fmt.Errorf("reading a route: %w", err)
	}
	for _, a := range attrs {
		switch a.typ {
		case unix.RTA_TABLE:
			w.Table = a.u32(0)
		case unix.RTA_OIF:
			w.Dev = c.linkName(a.u32(0))
		}
	}
	switch msg[7] { // rtm_type
	case unix.RTN_UNICAST:
	case unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_BLACKHOLE:
		w.Dev, w.Refused = "", true
	default:
		w.Dev, w.Local = "", true
	}
	return w, nil
}

// Addresses returns every address of every interface, including those that new connections should
// not use.
func (c *Conn) Addresses() (map[string][]netip.Addr, error) {
	links, addrs, err := c.linksAndAddrs()
	if err != nil {
		return nil, err
	}
	out := map[string][]netip.Addr{}
	names := map[uint32]string{}
	for _, l := range links {
		names[l.index], out[l.name] = l.name, nil
	}
	for _, a := range addrs {
		if name := names[a.index]; name != "" {
			out[name] = append(out[name], a.Addr())
		}
	}
	return out, nil
}

// Neighbours returns the Ethernet addresses of neighbours that the kernel knows.
func (c *Conn) Neighbours() (map[netip.Addr][6]byte, error) {
	out := map[netip.Addr][6]byte{}
	for _, family := range plan.Families {
		msgs, err := c.dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, append([]byte{addressFamily(family)},
			make([]byte, unix.SizeofNdMsg-1)...))
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) { // -- a kernel without IPv6
			return nil, fmt.Errorf("listing neighbours: %w", err)
		}
		for _, m := range msgs {
			if err := addNeighbour(out, m); err != nil {
				return nil, fmt.Errorf("listing neighbours: %w", err)
			}
		}
	}
	return out, nil
}

// addNeighbour decodes struct ndmsg, of which nothing is needed, and attributes (rtnetlink(7)).
func addNeighbour(list map[netip.Addr][6]byte, b []byte) error {
	if len(b) < unix.SizeofNdMsg {
		return fmt.Errorf("neighbour message of %d bytes", len(b))
	}
	var ip netip.Addr
	var mac []byte
	err := eachAttr(b[unix.SizeofNdMsg:], func(a attr) error {
		switch a.typ {
		case unix.NDA_DST:
			ip, _ = netip.AddrFromSlice(a.data)
		case unix.NDA_LLADDR:
			mac = a.data
		}
		return nil
	})
	if ip.IsValid() && len(mac) == 6 {
		list[ip] = [6]byte(mac)
	}
	return err
}
