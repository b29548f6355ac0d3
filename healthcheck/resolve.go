//go:build !small

package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameMemory is how long a name's addresses are used without asking again. Afterwards they are
// still used if no one answers: an uplink is not dead because the name server is.
const nameMemory = time.Minute

// share gives a try its part of the time, n being how many tries are left.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	t, ok := ctx.Deadline()
	if !ok || n < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(t)/time.Duration(n))
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
		var cancel context.CancelFunc
		ctx, cancel = share(ctx, 2)
		defer cancel()
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

// lookup asks the system's name servers (resolv.conf(5)), one after the other.
func (p *SocketProber) lookup(ctx context.Context, c Config, host string) ([]netip.Addr, error) {
	servers, err := NameServers(p.resolvConf)
	if err != nil {
		return nil, fmt.Errorf("%w: reading the list of name servers: %w", ErrNotProbed, err)
	}
	errs := []error{errors.New("no name server knows an address")}
	for i, server := range servers {
		try, cancel := share(ctx, len(servers)-i)
		addrs, err := p.lookupAt(try, c, net.JoinHostPort(server, DNSPort), host)
		cancel()
		if len(addrs) > 0 {
			return addrs, nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("name server %s: %w", server, err))
		}
	}
	return nil, errors.Join(errs...)
}

// lookupAt asks one server for the addresses of the families that the uplink carries.
func (p *SocketProber) lookupAt(ctx context.Context, c Config, server, host string) ([]netip.Addr, error) {
	conn, err := p.dialServer(ctx, c, server)
	if err != nil {
		return nil, cause(err)
	}
	defer conn.Close()
	defer until(ctx, conn)()
	var addrs []netip.Addr
	for _, q := range []struct {
		carried bool
		kind    dnsmessage.Type
	}{{c.IPv4, dnsmessage.TypeA}, {c.IPv6, dnsmessage.TypeAAAA}} {
		if !q.carried {
			continue
		}
		answer, err := ask(conn, dnsQuestion{host, q.kind})
		if err != nil {
			return addrs, err
		}
		addrs = append(addrs, answer.addrs...)
	}
	return addrs, nil
}

// dialServer connects to a name server: through the uplink, or directly if it is on this machine,
// for that one has ways of its own.
func (p *SocketProber) dialServer(ctx context.Context, c Config, server string) (conn net.Conn, err error) {
	if ap, perr := netip.ParseAddrPort(server); perr != nil || !ap.Addr().IsLoopback() {
		return p.dial(ctx, c, "udp", server)
	}
	var d net.Dialer
	p.enter(func() { conn, err = d.DialContext(ctx, "udp", server) })
	return conn, err
}
