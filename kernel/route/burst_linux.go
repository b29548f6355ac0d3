package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/internal/fault"
)

// BurstSize is how many routes one call of SetRoutes or RouteEdit.Del is to be given at most: so
// many refusals fit into the socket's queue, and a caller that was told to stop does so after as
// many.
const BurstSize = 128

// SetRoutes is SetRoute for many, in their order, at a fraction of its price. It returns an error
// for each, nil for those that are set.
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

// RouteEdit deletes routes, and lists those of a table and protocol at most once for all of them.
// What others change after that it does not see, so one is for a burst of changes.
type RouteEdit struct {
	c *Conn
	// live are the routes listed so far, by what listed them and by their keys.
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

// Del is DelRoute for many, in their order. It returns an error for each, nil for those that are
// gone.
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

// deletion returns the request to delete exactly this route, nil if it is not there.
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

// burst sends requests in one datagram; the kernel has handled all of them when the call that sends
// it returns. It leaves out nil bodies and those that have an error, and fills in errors. What the
// kernel does not answer clearly is asked again alone: these requests may be repeated, and their
// errors are then in the kernel's own words.
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

// datagram is requests of ascending sequence numbers, of which the last asks for an answer.
type datagram struct {
	first uint32
	data  []byte
}

// serialize returns the requests, and which of bodies they are of.
func (c *Conn) serialize(typ, flags int, bodies [][]byte, errs []error) (at []int, d datagram) {
	for i, body := range bodies {
		if body != nil && errs[i] == nil {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return at, d
	}
	last := atomic.AddUint32(&c.sockets[unix.NETLINK_ROUTE].Seq, uint32(len(at)))
	d.first = last - uint32(len(at)) + 1
	for n, i := range at {
		req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: uint16(typ), Flags: uint16(unix.NLM_F_REQUEST | flags), Seq: d.first + uint32(n)}}
		if n == len(at)-1 {
			req.Flags |= unix.NLM_F_ACK
		}
		req.AddRawData(bodies[i])
		d.data = append(d.data, req.Serialize()...)
	}
	return at, d
}

// exchange sends requests and returns which of them the kernel refused, all if it did not say.
func (c *Conn) exchange(at []int, d datagram) (refused []int) {
	fd := c.sockets[unix.NETLINK_ROUTE].Socket.GetFd()
	if err := unix.Sendto(fd, d.data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return at
	}
	ended := false
	var buf [64 << 10]byte
	for {
		n, _, err := unix.Recvfrom(fd, buf[:], unix.MSG_DONTWAIT)
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
