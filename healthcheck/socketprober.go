package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// SocketProber is the Prober that sends packets. Every socket of it is bound to its uplink's
// interface and carries its mark, so that a probe measures that uplink and no other, also one that
// no table uses at the moment.
//
// ARP requests and neighbour solicitations of an uplink share one socket for each kind, which stays
// open; the other methods open one for each probe. Pings of all uplinks share a socket that is
// bound to none: each request is sent so, and an answer that comes by another interface is none.
type SocketProber struct {
	// enter runs a function that opens sockets: where they are opened is where they stay.
	enter func(func())
	roots certificates
	// resolvConf names the file with the name servers (resolv.conf(5)).
	resolvConf string
	pings      *pings

	mu      sync.Mutex
	sockets map[socketKey]*sharedSocket
	names   map[nameKey]resolved
	// ports are the source ports of the last probes, by uplink.
	ports map[string][]Port
}

// NewProber makes a prober. It needs CAP_NET_RAW and CAP_NET_ADMIN; without them its probes fail as
// ErrNotProbed.
func NewProber() *SocketProber {
	p := &SocketProber{
		enter:      func(f func()) { f() },
		resolvConf: ResolvConf,
		sockets:    map[socketKey]*sharedSocket{},
		names:      map[nameKey]resolved{},
		ports:      map[string][]Port{},
	}
	p.pings = newPings(func(f func()) { p.enter(f) })
	return p
}

// Probe sends one probe. What counts as an answer, by method:
//
//   - ping: an echo reply from the target, with the identifier, number and secret of the request (RFC 792, RFC 4443).
//   - arp: an ARP reply of the target to us (RFC 826), a solicited neighbour advertisement that was not
//     routed (RFC 4861, 7.1.2).
//   - tcp: a connection, or its refusal: whoever refuses is there, and it is the line that is measured, not the service.
//   - dns, http: what Config.Expect says, http over TLS with a valid certificate if the URL says https. Redirects are not followed.
func (p *SocketProber) Probe(ctx context.Context, c Config, target string) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var rtt time.Duration
	var err error
	switch c.Method {
	case MethodPing:
		rtt, err = p.ping(ctx, c, target)
	case MethodARP:
		rtt, err = p.neighbour(ctx, c, target)
	case MethodTCP:
		rtt, err = p.tcp(ctx, c, target)
	case MethodDNS:
		rtt, err = p.dns(ctx, c, target)
	case MethodHTTP:
		rtt, err = p.http(ctx, c, target)
	default:
		err = fmt.Errorf("%w: unknown method %q", ErrNotProbed, c.Method)
	}
	if err != nil && !notProbed(err) && over(ctx) {
		return 0, ctx.Err() // whatever it looks like on a socket
	}
	return rtt, err
}

// over reports whether ctx has ended. A socket with the same deadline may notice first.
func over(ctx context.Context) bool {
	if t, ok := ctx.Deadline(); ok && !time.Now().Before(t) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// Release closes what is open for an uplink.
func (p *SocketProber) Release(uplink string) {
	p.pings.release(uplink)
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, s := range p.sockets {
		if k.uplink == uplink {
			s.close()
			delete(p.sockets, k)
		}
	}
	delete(p.ports, uplink)
	for k := range p.names {
		if k.uplink == uplink {
			delete(p.names, k)
		}
	}
}

// dial opens a connection through an uplink.
func (p *SocketProber) dial(ctx context.Context, c Config, network, address string) (net.Conn, error) {
	d := net.Dialer{Control: bound(c), KeepAlive: -1}
	var conn net.Conn
	var err error
	p.enter(func() { conn, err = d.DialContext(ctx, network, address) })
	var call *os.SyscallError
	if errors.As(err, &call) && call.Syscall == "socket" {
		return nil, fmt.Errorf("%w: opening a socket: %w", ErrNotProbed, call.Err)
	}
	if err == nil {
		p.notePort(c.Uplink, conn)
	}
	return conn, err
}

// until makes a connection end with ctx; the function that it returns ends that.
func until(ctx context.Context, conn net.Conn) func() bool {
	if t, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(t)
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// cause returns the kernel's own error out of what package net wraps around it, and other errors as
// they are.
func cause(err error) error {
	var errno syscall.Errno
	if !notProbed(err) && errors.As(err, &errno) {
		return errno
	}
	return err
}

// parseAddr reads an address that is a target. A zone is not needed: the interface is known.
func parseAddr(target string) (netip.Addr, error) {
	a, err := netip.ParseAddr(target)
	if err != nil {
		return a, fmt.Errorf("%w: invalid address %q", ErrNotProbed, target)
	}
	return a.Unmap().WithZone(""), nil
}

type nameKey struct{ uplink, host string }

// resolved is what a name was found to be.
type resolved struct {
	addrs []netip.Addr
	at    time.Time
}
