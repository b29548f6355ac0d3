package route

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// rtaNHID is the id of a next hop object (RTA_NH_ID, linux/rtnetlink.h).
const rtaNHID = 30

// routeDecoder builds a route from its attributes.
type routeDecoder struct {
	c     *Conn
	route plan.Route
	// single is the hop of a route without RTA_MULTIPATH.
	single    plan.Hop
	hasSingle bool
	foreign   []string
}

func (d *routeDecoder) say(format string, args ...any) {
	d.foreign = append(d.foreign, fmt.Sprintf(format, args...))
}

func (d *routeDecoder) attr(a attr, dstLen uint8) error {
	switch a.typ {
	case unix.RTA_TABLE:
		d.route.Table = a.u32(0)
	case unix.RTA_DST:
		d.route.Dst = prefix(a.data, dstLen)
	case unix.RTA_PRIORITY:
		d.route.Metric = a.u32(0)
	case unix.RTA_OIF:
		d.single.Dev, d.hasSingle = d.c.linkName(a.u32(0)), true
	case unix.RTA_GATEWAY, unix.RTA_VIA:
		d.single.Via = gateway(a)
	case unix.RTA_MULTIPATH:
		return d.hops(a.data)
	default:
		d.foreignAttr(a)
	}
	return nil
}

func (d *routeDecoder) hops(b []byte) error {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return fmt.Errorf("next hop of %d bytes in %d", n, len(b))
		}
		h := plan.Hop{
			Dev: d.c.linkName(binary.NativeEndian.Uint32(b[4:])), Weight: int(b[3]) + 1, Onlink: b[2]&unix.RTNH_F_ONLINK != 0,
		}
		attrs, err := parseAttrs(b[unix.SizeofRtNexthop:n])
		if err != nil {
			return err
		}
		for _, a := range attrs {
			if a.typ == unix.RTA_GATEWAY || a.typ == unix.RTA_VIA {
				h.Via = gateway(a)
			} else {
				d.foreignAttr(a)
			}
		}
		d.route.Hops = append(d.route.Hops, h)
		b = b[min(align4(n), len(b)):]
	}
	return nil
}

// gateway reads RTA_GATEWAY, or RTA_VIA (struct rtvia: family, address).
func gateway(a attr) netip.Addr {
	b := a.data
	if a.typ == unix.RTA_VIA {
		b = b[min(2, len(b)):]
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// foreignAttr prints an attribute that pbr never sets. It prints nothing for those that the kernel
// lists with every IPv6 route.
func (d *routeDecoder) foreignAttr(a attr) {
	switch a.typ {
	case unix.RTA_CACHEINFO:
		// struct rta_cacheinfo: references, last use, expires (in clock ticks), ...
		if a.u32(8) != 0 {
			d.say("expires")
		}
	case unix.RTA_PREF:
		if a.u8() != 0 {
			d.say("pref %d", a.u8())
		}
	case unix.RTA_PREFSRC:
		addr, _ := netip.AddrFromSlice(a.data)
		d.say("src %s", addr)
	case unix.RTA_SRC:
		d.say("from 0x%x", a.data)
	case unix.RTA_FLOW:
		d.say("realms %d/%d", a.u32(0)>>16, a.u32(0)&0xffff)
	case rtaNHID:
		d.say("nhid %d", a.u32(0))
	case unix.RTA_METRICS:
		d.metrics(a.data)
	default:
		d.say("attribute %d: 0x%x", a.typ, a.data)
	}
}

// metrics prints the common RTAX_* by name (ip-route(8)), others by number.
func (d *routeDecoder) metrics(b []byte) {
	attrs, err := parseAttrs(b)
	if err != nil {
		d.say("metrics 0x%x", b)
		return
	}
	for _, a := range attrs {
		switch a.typ {
		case unix.RTAX_MTU:
			d.say("mtu %d", a.u32(0))
		case unix.RTAX_ADVMSS:
			d.say("advmss %d", a.u32(0))
		default:
			d.say("metric attribute %d: 0x%x", a.typ, a.data)
		}
	}
}
