package healthcheck

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// nameMemory is how long a name's addresses are used without asking again. Afterwards they are still used if no one answers: an uplink is not
// dead because the name server is.
const nameMemory = time.Minute

type nameKey struct{ uplink, host string }

// resolved is what a name was found to be.
type resolved struct {
	addrs []netip.Addr
	at    time.Time
}

// resolve returns the addresses of a host that the uplink can carry.
func (p *SocketProber) resolve(ctx context.Context, c Config, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap().WithZone("")}, nil
	}
	key := nameKey{c.Uplink, host}
	p.mu.Lock()
	known := p.names[key]
	p.mu.Unlock()
	if len(known.addrs) > 0 {
		if time.Since(known.at) < nameMemory {
			return known.addrs, nil
		}
		// Half of the time is for the connection.
		if t, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Until(t)/2)
			defer cancel()
		}
	}
	addrs, err := p.lookup(ctx, c, host)
	if err != nil {
		if len(known.addrs) > 0 {
			return known.addrs, nil
		}
		return nil, fmt.Errorf("looking up %s: %w", host, err)
	}
	p.mu.Lock()
	p.names[key] = resolved{addrs: addrs, at: time.Now()}
	p.mu.Unlock()
	return addrs, nil
}

// lookup asks the system's name servers (resolv.conf(5)) through the uplink. A name server on this machine is asked directly: it has
// ways of its own.
func (p *SocketProber) lookup(ctx context.Context, c Config, host string) ([]netip.Addr, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if ap, err := netip.ParseAddrPort(address); err == nil && ap.Addr().IsLoopback() {
			var d net.Dialer
			var conn net.Conn
			var err error
			p.enter(func() { conn, err = d.DialContext(ctx, network, address) })
			return conn, err
		}
		return p.dial(ctx, c, network, address)
	}}
	network := "ip"
	switch {
	case !c.IPv6:
		network = "ip4"
	case !c.IPv4:
		network = "ip6"
	}
	addrs, err := r.LookupNetIP(ctx, network, host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}
