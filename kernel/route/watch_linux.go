package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/netevents"
)

// Watcher receives the kernel's events about changes in a network namespace.
type Watcher struct {
	events *netevents.Listener
	// names is only for interface names.
	names *Conn
	// gateways are Conn's.
	gateways *atomic.Pointer[[]netip.Addr]
	links    map[int32]linkState
	addrs    map[addrKey]uint32
}

// Watch starts to watch c's network namespace. Changes that c itself makes are not reported. Like
// all of c's methods it needs c's thread; the Watcher is then independent of c.
func (c *Conn) Watch() (*Watcher, error) {
	own, err := c.port()
	if err != nil {
		return nil, err
	}
	events, err := netevents.Listen(unix.NETLINK_ROUTE, []uint32{own}, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return nil, fmt.Errorf("watching links, addresses, routes, rules and settings: %w", err)
	}
	w := &Watcher{events: events, names: &Conn{inet: -1}, gateways: c.gateways}
	if w.names.inet, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("opening an inet socket: %w", err), w.Close())
	}
	if err := w.learn(c); err != nil {
		return nil, errors.Join(err, w.Close(), unix.Close(w.names.inet))
	}
	return w, nil
}

// Close makes Next return os.ErrClosed, also a call that is waiting.
func (w *Watcher) Close() error { return w.events.Close() }

// Next waits for changes and returns them, sometimes none. After any error except os.ErrClosed it
// can be called again. It has to be called until os.ErrClosed, to close the last socket.
func (w *Watcher) Next() ([]Change, error) {
	msgs, err := w.events.Receive()
	if errors.Is(err, os.ErrClosed) && w.names.inet >= 0 {
		_ = unix.Close(w.names.inet)
		w.names.inet = -1
	}
	if err != nil {
		return nil, fmt.Errorf("reading events of links, addresses, routes and rules: %w", err)
	}
	var out []Change
	for _, m := range msgs {
		change, ok, err := w.decode(m)
		if err != nil {
			return nil, fmt.Errorf("reading events of links, addresses, routes and rules: %w", err)
		}
		if ok {
			change.Port = m.Header.PID
			out = append(out, change)
		}
	}
	return out, nil
}

// decode returns false for events that do not concern pbr.
func (w *Watcher) decode(m netlink.Message) (Change, bool, error) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return w.link(m.Data, m.Header.Type == unix.RTM_DELLINK)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return w.addr(m.Data, m.Header.Type == unix.RTM_DELADDR)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return w.route(m)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		r, err := decodeRule(m.Data)
		return Change{Kind: RuleChange, Rule: r, Text: describeRule(r) + verb(m, unix.RTM_DELRULE),
			Object: describeRule(r)}, err == nil, err
	case unix.RTM_NEWNETCONF:
		return w.setting(m.Data)
	}
	return Change{}, false, nil
}

func verb(m netlink.Message, deletion netlink.HeaderType) string {
	switch {
	case m.Header.Type == deletion:
		return " deleted"
	case m.Header.Flags&netlink.Replace != 0:
		return " replaced another one"
	}
	return " added"
}

// route discards most events before decoding them: a router with a full Internet table in main sees
// hundreds a second.
func (w *Watcher) route(m netlink.Message) (Change, bool, error) {
	b := m.Data
	if len(b) < unix.SizeofRtMsg {
		return Change{}, false, fmt.Errorf("ip route message of %d bytes", len(b))
	}
	bits, table, protocol, scope, flags := b[1], b[4], b[5], b[6], binary.NativeEndian.Uint32(b[8:])
	if table == unix.RT_TABLE_LOCAL || flags&unix.RTM_F_CLONED != 0 {
		return Change{}, false, nil
	}
	leads := table == unix.RT_TABLE_MAIN && w.leadsToGateway(b)
	if table == unix.RT_TABLE_MAIN && !leads && int(bits) > plan.DefaultLength(plan.IPv6) && protocol != plan.Protocol &&
		protocol != unix.RTPROT_KERNEL && scope != unix.RT_SCOPE_LINK {
		return Change{}, false, nil
	}
	r, err := w.names.decodeRoute(b)
	if err != nil {
		return Change{}, false, err
	}
	return Change{
		Kind: RouteChange, Route: r.Route, Text: describeRoute(r.Route) + verb(m, unix.RTM_DELROUTE),
		Object:    fmt.Sprintf("route %v", r.Key()),
		HostFacts: r.Table == plan.MainTable && (leads || r.connected() || plan.CountsAsDefault(r.Dst) && r.Kind == plan.Unicast),
	}, true, nil
}

// leadsToGateway reports whether a route of main leads to one of the gateways that the kernel takes
// or refuses because of main's routes.
func (w *Watcher) leadsToGateway(msg []byte) bool {
	gateways := w.gateways.Load()
	if gateways == nil || len(*gateways) == 0 || msg[0] != unix.AF_INET6 {
		return false
	}
	dst, err := destination(msg)
	return err == nil && slices.ContainsFunc(*gateways, dst.Contains)
}
