package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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
// no route, that is no error.
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
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	req.Sockets = c.sockets
	req.AddRawData(append(encodeHeader(h), b...))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
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
	links, err := c.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	addrs, err := c.handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	out := map[string][]netip.Addr{}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index], out[l.Attrs().Name] = l.Attrs().Name, nil
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && names[a.LinkIndex] != "" {
			out[names[a.LinkIndex]] = append(out[names[a.LinkIndex]], ip.Unmap())
		}
	}
	return out, nil
}

// Neighbours returns the Ethernet addresses of neighbours that the kernel knows.
func (c *Conn) Neighbours() (map[netip.Addr][6]byte, error) {
	out := map[netip.Addr][6]byte{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := c.handle.NeighList(0, family)
		if err != nil {
			return nil, fmt.Errorf("listing neighbours: %w", err)
		}
		for _, n := range list {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && len(n.HardwareAddr) == 6 {
				out[ip.Unmap()] = [6]byte(n.HardwareAddr)
			}
		}
	}
	return out, nil
}
