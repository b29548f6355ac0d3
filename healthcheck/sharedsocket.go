package healthcheck

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socketKind is what a shared socket is good for.
type socketKind uint8

const (
	kindARP socketKind = iota
	kindNDP
)

type socketKey struct {
	uplink string
	kind   socketKind
}

// sharedSocket is a socket that all probes of an uplink and a kind share, with the goroutine that
// reads it.
type sharedSocket struct {
	conn net.PacketConn
	raw  syscall.RawConn
	// iface and mark are what it is bound to, mac is the interface's address (empty if it has
	// none).
	iface   string
	mark    uint32
	mac     net.HardwareAddr
	broken  atomic.Bool // reading failed
	waiters waiters
}

// rawConner is a connection that shows its socket.
type rawConner interface {
	SyscallConn() (syscall.RawConn, error)
}

// newShared wraps a connection.
func newShared(conn net.PacketConn, c Config) (*sharedSocket, error) {
	raw, err := conn.(rawConner).SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotProbed, err)
	}
	return &sharedSocket{conn: conn, raw: raw, iface: c.Interface, mark: c.Mark, waiters: waiters{waiting: map[waitKey][]chan reply{}}}, nil
}

// fits reports whether a socket still is the uplink's.
func (s *sharedSocket) fits(c Config) bool {
	return s.iface == c.Interface && s.mark == c.Mark && !s.broken.Load() && boundTo(s.raw, s.iface)
}

func (s *sharedSocket) close() { _ = s.conn.Close() }

// shared returns an uplink's socket of a kind, and opens it if there is none that fits.
func (p *SocketProber) shared(c Config, kind socketKind, open func(Config) (*sharedSocket, error)) (*sharedSocket, error) {
	key := socketKey{c.Uplink, kind}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.sockets[key]
	if old != nil && old.fits(c) {
		return old, nil
	}
	if old != nil {
		old.close()
		delete(p.sockets, key)
	}
	var s *sharedSocket
	var err error
	p.enter(func() { s, err = open(c) })
	if err != nil {
		return nil, err
	}
	p.sockets[key] = s
	return s, nil
}

// serve reads until the socket is closed or broken; take gets each packet.
func (s *sharedSocket) serve(take func(packet []byte)) {
	buf := make([]byte, 512) // no answer to a probe of ours comes near, and each uplink has one
	for {
		n, _, err := s.conn.ReadFrom(buf)
		if err != nil {
			// Closed by us, or the interface went away (ENETDOWN of a packet socket): the next
			// probe opens another.
			s.broken.Store(true)
			return
		}
		take(buf[:n])
	}
}

// waitKey is what an answer must have to be one.
type waitKey struct {
	from netip.Addr
	to   netip.Addr // ARP: our address that was asked for
}

// reply is an answer.
type reply struct {
	at time.Time
}

// waiters are the probes under way.
type waiters struct {
	mu      sync.Mutex
	waiting map[waitKey][]chan reply
}

// exchange sends a probe and waits for its answer.
func (w *waiters) exchange(ctx context.Context, k waitKey, send func() error) (time.Duration, error) {
	ch := make(chan reply, 1)
	w.mu.Lock()
	w.waiting[k] = append(w.waiting[k], ch)
	w.mu.Unlock()
	defer w.forget(k, ch)
	sent := time.Now()
	if err := send(); err != nil {
		return 0, fmt.Errorf("sending: %w", cause(err))
	}
	select {
	case r := <-ch:
		return r.at.Sub(sent), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (w *waiters) forget(k waitKey, ch chan reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range w.waiting[k] {
		if c == ch {
			w.waiting[k] = append(w.waiting[k][:i], w.waiting[k][i+1:]...)
			break
		}
	}
	if len(w.waiting[k]) == 0 {
		delete(w.waiting, k)
	}
}

// answer hands a reply to all who wait for it, if anyone does.
func (w *waiters) answer(k waitKey, r reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ch := range w.waiting[k] {
		select {
		case ch <- r:
		default: // it has one already
		}
	}
}
