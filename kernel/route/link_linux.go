package route

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// liveLink is an interface as the kernel lists it.
type liveLink struct {
	index, master, parent uint32
	name                  string
	// kind is the kernel's name for what it is, as "vlan"; empty for hardware.
	kind  string
	flags uint32
	// table is that of a VRF.
	table uint32
}

// links lists all interfaces.
func (c *Conn) links() ([]liveLink, error) {
	msgs, err := c.dump(unix.RTM_GETLINK, unix.RTM_NEWLINK, make([]byte, unix.SizeofIfInfomsg))
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	out := make([]liveLink, 0, len(msgs))
	for _, m := range msgs {
		l, err := decodeLink(m)
		if err != nil {
			return nil, fmt.Errorf("listing interfaces: %w", err)
		}
		out = append(out, l)
	}
	return out, nil
}

// decodeLink decodes struct ifinfomsg (family, pad, type, index, flags, change; rtnetlink(7)) and
// attributes.
func decodeLink(b []byte) (l liveLink, err error) {
	if len(b) < unix.SizeofIfInfomsg {
		return l, fmt.Errorf("link message of %d bytes", len(b))
	}
	l.index, l.flags = binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[8:])
	err = eachAttr(b[unix.SizeofIfInfomsg:], func(a attr) error {
		switch a.typ {
		case unix.IFLA_IFNAME:
			l.name = a.text()
		case unix.IFLA_MASTER:
			l.master = a.u32(0)
		case unix.IFLA_LINK:
			l.parent = a.u32(0)
		case unix.IFLA_LINKINFO:
			return l.decodeInfo(a.data)
		}
		return nil
	})
	return l, err
}

// decodeInfo reads what kind of interface it is.
func (l *liveLink) decodeInfo(b []byte) error {
	var data []byte
	err := eachAttr(b, func(a attr) error {
		switch a.typ {
		case unix.IFLA_INFO_KIND:
			l.kind = a.text()
		case unix.IFLA_INFO_DATA:
			data = a.data
		}
		return nil
	})
	if err != nil || l.kind != "vrf" {
		return err
	}
	return eachAttr(data, func(a attr) error {
		if a.typ == unix.IFLA_VRF_TABLE {
			l.table = a.u32(0)
		}
		return nil
	})
}

// liveAddr is an address as the kernel lists it. Its network is that of the address; an address
// with a peer has none, because the peer's is there instead.
type liveAddr struct {
	netip.Prefix
	index uint32
	scope uint8
	flags uint32
	// broadcast is the broadcast address that it was given, if any.
	broadcast netip.Addr
}

// reachesFar reports whether hosts beyond the link may know the address.
func (a *liveAddr) reachesFar() bool {
	return a.scope < unix.RT_SCOPE_LINK && !a.Addr().IsLinkLocalUnicast() && !a.Addr().IsLoopback()
}

// addrs lists all addresses of all interfaces.
func (c *Conn) linksAndAddrs() (links []liveLink, addrs []liveAddr, err error) {
	if links, err = c.links(); err != nil {
		return nil, nil, err
	}
	addrs, err = c.addrs()
	return links, addrs, err
}

func (c *Conn) addrs() ([]liveAddr, error) {
	msgs, err := c.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	out := make([]liveAddr, 0, len(msgs))
	for _, m := range msgs {
		a, err := decodeAddr(m)
		if err != nil {
			return nil, fmt.Errorf("listing addresses: %w", err)
		}
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out, nil
}

// decodeAddr decodes struct ifaddrmsg (family, prefix length, flags, scope, index; rtnetlink(7))
// and attributes. IFA_LOCAL is the address where there is a peer, and always for IPv4; then
// IFA_ADDRESS is the peer.
func decodeAddr(b []byte) (l liveAddr, err error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return l, fmt.Errorf("address message of %d bytes", len(b))
	}
	l.flags, l.scope, l.index = uint32(b[2]), b[3], binary.NativeEndian.Uint32(b[4:])
	var local, peer netip.Addr
	err = eachAttr(b[unix.SizeofIfAddrmsg:], func(a attr) error {
		switch a.typ {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.data)
		case unix.IFA_ADDRESS:
			peer, _ = netip.AddrFromSlice(a.data)
		case unix.IFA_BROADCAST:
			l.broadcast, _ = netip.AddrFromSlice(a.data)
		case unix.IFA_FLAGS:
			l.flags = a.u32(0)
		}
		return nil
	})
	if local.IsValid() && local != peer {
		l.Prefix = netip.PrefixFrom(local, local.BitLen())
	} else {
		l.Prefix = netip.PrefixFrom(peer, int(b[1]))
	}
	return l, err
}
