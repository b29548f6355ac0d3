package route

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
	"pbr/kernel/netevents"
)

// Where the kernel looks up what an address is to the router: for IPv4 in the table local alone
// (inet_addr_type, net/ipv4/fib_frontend.c), for IPv6 as for a packet, and so in any table
// (nft_fib6_eval_type, net/ipv6/netfilter/nft_fib_ipv6.c).
var ownRoutesOf = map[plan.Family]struct {
	table uint32
	kinds []uint8
}{
	plan.IPv4: {unix.RT_TABLE_LOCAL, []uint8{unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_MULTICAST}},
	plan.IPv6: {0, []uint8{unix.RTN_LOCAL, unix.RTN_ANYCAST}},
}

// special are the networks of which OwnAddresses lists nothing.
var special = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// OwnAddresses returns the addresses of a version that are the router's own to the kernel,
// broadcast, anycast and multicast ones included, sorted; without loopback IPv4 ones, multicast and
// link-local IPv6. It may return some of other routing tables besides. ok is false if whole
// networks are the router's, so that there is no such list.
func (c *Conn) OwnAddresses(family plan.Family) (list []netip.Addr, ok bool, err error) {
	where := ownRoutesOf[family]
	for _, kind := range where.kinds {
		prefixes, err := c.destinations(family, where.table, kind)
		if err != nil {
			return nil, false, err
		}
		for _, p := range prefixes {
			switch {
			case slices.ContainsFunc(special, func(s netip.Prefix) bool { return s.Bits() <= p.Bits() && s.Contains(p.Addr()) }):
			case !p.IsSingleIP():
				return nil, false, nil
			default:
				list = append(list, p.Addr())
			}
		}
	}
	sorting.Func(list, netip.Addr.Compare)
	return slices.Compact(list), true, nil
}

// destinations lists the destinations of the routes of a kind in a table, or in all (table 0).
func (c *Conn) destinations(family plan.Family, table uint32, kind uint8) (list []netip.Prefix, err error) {
	msgs, err := c.routeMessages(family, table, 0, kind)
	if err != nil {
		return nil, fmt.Errorf("listing the router's own IPv%d addresses: %w", family, err)
	}
	for _, m := range msgs {
		p, err := destination(m)
		if err != nil {
			return nil, fmt.Errorf("listing the router's own IPv%d addresses: %w", family, err)
		}
		if m[0] == addressFamily(family) && m[7] == kind {
			list = append(list, p)
		}
	}
	return list, nil
}

// destination is that of a route message.
func destination(msg []byte) (netip.Prefix, error) {
	if len(msg) < unix.SizeofRtMsg {
		return netip.Prefix{}, fmt.Errorf("ip route message of %d bytes", len(msg))
	}
	attrs, err := parseAttrs(msg[unix.SizeofRtMsg:])
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, a := range attrs {
		if a.typ == unix.RTA_DST {
			return prefix(a.data, msg[1]), nil
		}
	}
	return netip.PrefixFrom(unspecified(planFamily(msg[0])), int(msg[1])), nil
}

// WatchOwn hears, from now on, of every route that makes addresses the router's own, or no longer.
// It has to be called in the network namespace that it is about.
func WatchOwn() (*netevents.Listener, error) {
	var kinds []uint8
	for _, family := range plan.Families {
		kinds = append(kinds, ownRoutesOf[family].kinds...)
	}
	slices.Sort(kinds)
	l, err := netevents.ListenRoutes(slices.Compact(kinds), unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watching the router's own addresses: %w", err)
	}
	return l, nil
}
