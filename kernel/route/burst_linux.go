package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/internal/fault"
)

// BurstSize is the maximum number of routes for one call of SetRoutes or RouteEdit.Del: so many
// errors fit into the socket's queue, and a caller that is cancelled stops after at most this many.
const BurstSize = 128

// SetRoutes is SetRoute for many routes, in their order, at a fraction of the cost. It returns an
// error for each route, nil for those that were set.
func (c *Conn) SetRoutes(routes []plan.Route) []error {
	bodies, errs := make([][]byte, len(routes)), make([]error, len(routes))
	for i, r := range routes {
		bodies[i], errs[i] = c.encodeRoute(r)
	}
	c.burst(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, bodies, errs)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("setting %s: %w", describeRoute(routes[i]), err)
		}
	}
	return errs
}

// RouteEdit deletes routes. It lists the routes of a table and protocol at most once, and does not
// see later changes by others. So use one RouteEdit for one burst of changes.
type RouteEdit struct {
	c *Conn
	// live are the routes listed so far, by list and by key.
	live map[routeList]map[plan.RouteKey][]liveRoute
}

// routeList is what one dump lists.
type routeList struct {
	family   plan.Family
	table    uint32
	protocol uint8
}

// EditRoutes begins a burst of deletions.
func (c *Conn) EditRoutes() *RouteEdit {
	return &RouteEdit{c: c, live: map[routeList]map[plan.RouteKey][]liveRoute{}}
}

// Del is DelRoute for many routes, in their order. It returns an error for each route, nil for
// those that are gone.
func (e *RouteEdit) Del(routes []plan.Route) []error {
	bodies, errs := make([][]byte, len(routes)), make([]error, len(routes))
	for i, r := range routes {
		bodies[i], errs[i] = e.deletion(r)
	}
	e.c.burst(unix.RTM_DELROUTE, 0, bodies, errs)
	for i, err := range errs {
		if absent(err) {
			errs[i] = nil
		} else if err != nil {
			errs[i] = fmt.Errorf("deleting %s: %w", describeRoute(routes[i]), err)
		}
	}
	return errs
}

// deletion returns the request to delete exactly this route, nil if it does not exist.
func (e *RouteEdit) deletion(r plan.Route) ([]byte, error) {
	live, err := e.list(routeList{r.Family, r.Table, r.Protocol})
	if err != nil {
		return nil, err
	}
	same := live[r.Key()]
	at := slices.IndexFunc(same, func(l liveRoute) bool { return l.Equal(r) })
	if at < 0 {
		return nil, nil
	}
	body := deletionOf(same[at].msg)
	live[r.Key()] = slices.Delete(same, at, at+1)
	return body, nil
}

func (e *RouteEdit) list(l routeList) (map[plan.RouteKey][]liveRoute, error) {
	if byKey, listed := e.live[l]; listed {
		return byKey, nil
	}
	routes, err := e.c.routes(l.family, l.table, l.protocol)
	if err != nil {
		return nil, err
	}
	byKey := make(map[plan.RouteKey][]liveRoute, len(routes))
	for _, r := range routes {
		byKey[r.Key()] = append(byKey[r.Key()], r)
	}
	e.live[l] = byKey
	return byKey, nil
}

// burst sends requests in one datagram; the kernel has handled all of them when the sending call
// returns. It skips nil bodies and those that already have an error, and fills in errors. Requests
// that the kernel does not answer clearly are sent again one by one: these requests may be
// repeated, and their errors are then the kernel's own texts.
func (c *Conn) burst(typ, flags int, bodies [][]byte, errs []error) {
	for i, body := range bodies {
		if body != nil && errs[i] == nil {
			errs[i] = fault.At("before one of several changes of routes")
		}
	}
	var again []int
	at, datagram := c.serialize(typ, flags, bodies, errs)
	if len(at) == 1 {
		again = at
	} else if len(at) > 0 {
		again = c.exchange(at, datagram)
	}
	for _, i := range again {
		errs[i] = c.request(typ, flags, bodies[i])
	}
}

// datagram holds requests with ascending sequence numbers; the last one asks for an answer.
type datagram struct {
	first uint32
	data  []byte
}

// serialize returns the requests, and the indexes of their bodies.
func (c *Conn) serialize(typ, flags int, bodies [][]byte, errs []error) (at []int, d datagram) {
	for i, body := range bodies {
		if body != nil && errs[i] == nil {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return at, d
	}
	d.first = c.seq + 1
	c.seq += uint32(len(at))
	each := unix.NLM_F_REQUEST | uint16(flags)
	for n, i := range at {
		if n == len(at)-1 {
			each |= unix.NLM_F_ACK
		}
		d.data = appendMessage(d.data, uint16(typ), each, d.first+uint32(n), bodies[i])
	}
	return at, d
}

// exchange sends requests and returns those that the kernel refused, or all of them if the kernel
// did not say.
func (c *Conn) exchange(at []int, d datagram) (refused []int) {
	if err := unix.Sendto(c.socket, d.data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return at
	}
	ended := false
	var buf [64 << 10]byte
	for {
		n, _, err := unix.Recvfrom(c.socket, buf[:], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil && (!ended || !errors.Is(err, unix.EAGAIN)):
			return at
		case err != nil:
			return refused
		}
		for b := buf[:max(n, 0)]; len(b) >= unix.SizeofNlMsghdr+4; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr+4 || size > len(b) {
				break
			}
			answer := binary.NativeEndian.Uint32(b[8:]) - d.first
			if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR && int64(answer) < int64(len(at)) {
				ended = ended || int(answer) == len(at)-1
				if int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])) != 0 {
					refused = append(refused, at[answer])
				}
			}
			b = b[min(align4(size), len(b)):]
		}
	}
}
