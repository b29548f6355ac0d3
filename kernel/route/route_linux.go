package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// encodeRoute returns the body of an RTM_NEWROUTE message.
func (c *Conn) encodeRoute(r plan.Route) ([]byte, error) {
	switch {
	case r.Family != plan.IPv4 && r.Family != plan.IPv6:
		return nil, fmt.Errorf("invalid address family %d", r.Family)
	case !r.Dst.IsValid() || plan.FamilyOf(r.Dst.Addr()) != r.Family:
		return nil, fmt.Errorf("destination %s is of the other address family", r.Dst)
	case r.Foreign != "":
		return nil, fmt.Errorf("cannot create it with what pbr never sets: %s", r.Foreign)
	case r.Kind == plan.Unicast && len(r.Hops) == 0:
		return nil, errors.New("no next hop")
	}
	b := make([]byte, unix.SizeofRtMsg, 128)
	b[0], b[1], b[5], b[6], b[7] = addressFamily(r.Family), byte(r.Dst.Bits()), r.Protocol, wantedScope(r), byte(r.Kind)
	if r.Table < 256 {
		b[4] = byte(r.Table)
	}
	b = appendU32(b, unix.RTA_TABLE, r.Table)
	if r.Dst.Bits() > 0 {
		b = appendAttr(b, unix.RTA_DST, r.Dst.Addr().AsSlice()...)
	}
	if r.Metric != 0 {
		b = appendU32(b, unix.RTA_PRIORITY, r.Metric)
	}
	if r.Kind != plan.Unicast {
		return b, nil
	}
	if len(r.Hops) == 1 {
		h := r.Hops[0]
		index, err := c.hopIndex(h)
		if err != nil {
			return nil, err
		}
		binary.NativeEndian.PutUint32(b[8:], hopFlags(h))
		return appendVia(appendU32(b, unix.RTA_OIF, index), r.Family, h.Via), nil
	}
	hops, err := c.encodeHops(r)
	if err != nil {
		return nil, err
	}
	return appendAttr(b, unix.RTA_MULTIPATH, hops...), nil
}

// encodeHops returns RTA_MULTIPATH's struct rtnexthop list: length, flags, hops (the weight less
// one), index, attributes.
func (c *Conn) encodeHops(r plan.Route) ([]byte, error) {
	var out []byte
	for _, h := range r.Hops {
		index, err := c.hopIndex(h)
		if err != nil {
			return nil, err
		}
		if h.Weight < 1 || h.Weight > 256 {
			return nil, fmt.Errorf("next hop %s: invalid weight %d", h.Dev, h.Weight)
		}
		b := []byte{0, 0, byte(hopFlags(h)), byte(h.Weight - 1)}
		b = appendVia(binary.NativeEndian.AppendUint32(b, index), r.Family, h.Via)
		binary.NativeEndian.PutUint16(b, uint16(len(b)))
		out = append(out, b...)
	}
	return out, nil
}

func (c *Conn) hopIndex(h plan.Hop) (uint32, error) {
	if h.Auto {
		return 0, fmt.Errorf("next hop %s: its gateway is not known yet", h.Dev)
	}
	return c.linkIndex(h.Dev)
}

func hopFlags(h plan.Hop) uint32 {
	if h.Onlink {
		return unix.RTNH_F_ONLINK
	}
	return 0
}

// appendVia writes a gateway; a gateway of the other family (IPv4 over IPv6, RFC 8950) goes into
// RTA_VIA.
func appendVia(b []byte, family plan.Family, via netip.Addr) []byte {
	switch {
	case !via.IsValid():
		return b
	case plan.FamilyOf(via) == family:
		return appendAttr(b, unix.RTA_GATEWAY, via.AsSlice()...)
	}
	af := binary.NativeEndian.AppendUint16(nil, uint16(addressFamily(plan.IPv6)))
	return appendAttr(b, unix.RTA_VIA, append(af, via.AsSlice()...)...)
}

// wantedScope returns the scope that ip-route(8) chooses: link for a single IPv4 hop without a
// gateway, otherwise universe.
func wantedScope(r plan.Route) uint8 {
	if r.Family == plan.IPv4 && r.Kind == plan.Unicast && len(r.Hops) == 1 && !r.Hops[0].Via.IsValid() {
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// liveRoute is a normalized route and the message with which the kernel listed it.
type liveRoute struct {
	plan.Route
	scope uint8
	msg   []byte
}

// routes lists the routes of a table (0: of all tables) that have the protocol (0: any).
func (c *Conn) routes(family plan.Family, table uint32, protocol uint8) ([]liveRoute, error) {
	msgs, err := c.routeMessages(family, table, protocol, 0)
	if err != nil {
		return nil, fmt.Errorf("listing ip -%d routes of table %d: %w", family, table, err)
	}
	c.names = map[uint32]string{}
	defer func() { c.names = nil }()
	out := make([]liveRoute, 0, len(msgs))
	for _, m := range msgs {
		r, err := c.decodeRoute(m)
		if err != nil {
			return nil, fmt.Errorf("reading ip -%d routes of table %d: %w", family, table, err)
		}
		if r.Family == family && (table == 0 || r.Table == table) && (protocol == 0 || r.Protocol == protocol) {
			out = append(out, r)
		}
	}
	return out, nil
}

// routeMessages returns the kernel's messages of the routes of a table (0: of all tables), with a
// protocol and of a kind (RTN_*), 0 for any. An older kernel may list others, too. No such table,
// or a kernel without IPv6, has none.
func (c *Conn) routeMessages(family plan.Family, table uint32, protocol, kind uint8) ([][]byte, error) {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[5], body[7] = addressFamily(family), protocol, kind
	if table != 0 {
		body = appendU32(body, unix.RTA_TABLE, table)
	}
	msgs, err := c.dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, body)
	if absent(err) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	return msgs, err
}

// SetRoute adds a route, or replaces the one with the same key, whoever wrote it.
func (c *Conn) SetRoute(r plan.Route) error {
	return c.SetRoutes([]plan.Route{r})[0]
}

// DelRoute deletes exactly this route, as read or as set; if it does not exist, that is success. It
// sends the kernel's own message back, because the kernel reads metric 0 and missing attributes as
// "any".
func (c *Conn) DelRoute(r plan.Route) error {
	return c.EditRoutes().Del([]plan.Route{r})[0]
}

// deletionOf turns a listed message into a deletion request: the kernel refuses attributes there
// that are only information (cache info) or that follow from a next hop object's id.
func deletionOf(msg []byte) []byte {
	attrs, err := parseAttrs(msg[unix.SizeofRtMsg:])
	if err != nil {
		return msg
	}
	hasID := slices.ContainsFunc(attrs, func(a attr) bool { return a.typ == rtaNHID })
	out := slices.Clone(msg[:unix.SizeofRtMsg])
	for _, a := range attrs {
		switch a.typ {
		case unix.RTA_CACHEINFO:
			continue
		case unix.RTA_OIF, unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH, unix.RTA_FLOW, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE:
			if hasID {
				continue
			}
		}
		out = appendAttr(out, a.typ, a.data...)
	}
	return out
}

// normal normalizes a live route as plan.Normalize does wanted ones.
func normal(r plan.Route) plan.Route {
	p := plan.Plan{Routes: []plan.Route{r}}
	plan.Normalize(&p)
	return p.Routes[0]
}

// decodeRoute is the inverse of encodeRoute: it reads the body of an RTM_NEWROUTE message of a
// dump. It omits the flags dead and linkdown, which describe the link.
func (c *Conn) decodeRoute(msg []byte) (liveRoute, error) {
	if len(msg) < unix.SizeofRtMsg {
		return liveRoute{}, fmt.Errorf("ip route message of %d bytes", len(msg))
	}
	attrs, err := parseAttrs(msg[unix.SizeofRtMsg:])
	if err != nil {
		return liveRoute{}, err
	}
	d := routeDecoder{c: c}
	d.route = plan.Route{Family: planFamily(msg[0]), Table: uint32(msg[4]), Protocol: msg[5], Kind: plan.RouteKind(msg[7])}
	d.route.Dst = netip.PrefixFrom(unspecified(d.route.Family), 0)
	d.single.Weight = 1
	d.single.Onlink = binary.NativeEndian.Uint32(msg[8:])&unix.RTNH_F_ONLINK != 0
	if msg[2] != 0 {
		d.say("from /%d", msg[2])
	}
	if msg[3] != 0 {
		d.say("tos 0x%02x", msg[3])
	}
	for _, a := range attrs {
		if err := d.attr(a, msg[1]); err != nil {
			return liveRoute{}, err
		}
	}
	if len(d.route.Hops) == 0 && d.hasSingle {
		d.route.Hops = []plan.Hop{d.single}
	}
	if d.route.Kind == plan.Unicast && msg[6] != wantedScope(d.route) {
		d.say("scope %d", msg[6])
	}
	d.route.Foreign = strings.Join(d.foreign, " ")
	return liveRoute{normal(d.route), msg[6], msg}, nil
}

func unspecified(f plan.Family) netip.Addr {
	if f == plan.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}
