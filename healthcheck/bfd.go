package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"pbr/healthcheck/bfd"
)

const (
	// bfdPort is where control packets of single-hop sessions go to, from any port of bfdSources
	// (RFC 5881, 4).
	bfdPort        = 3784
	bfdFirstSource = 49152
	// bfdTTL is what nobody who is not on the link can send (RFC 5881, 5).
	bfdTTL = 255
)

// bfdConn sends and receives control packets of one session.
type bfdConn interface {
	// read returns a packet with its sender and TTL; os.ErrDeadlineExceeded when none came until
	// then, and none waits.
	read(until time.Time, b []byte) (n int, from netip.Addr, ttl int, err error)
	write(b []byte) error
	// stop ends read, now and for good; close ends everything, and may be called after stop. Any
	// goroutine may call both.
	stop()
	close()
}

// farewells is how often the peer is told that the session ends by our will: one may be lost.
const farewells = 3

// Hold keeps a BFD session with the uplink's gateway.
func (p *SocketProber) Hold(ctx context.Context, c Config, tell func(Session)) error {
	text, known := c.gateway()
	if !known {
		return errNoTarget
	}
	gw, err := parseAddr(text)
	if err != nil {
		return err
	}
	var conn bfdConn
	p.enter(func() { conn, err = openBFD(ctx, c, gw) })
	if err != nil {
		return err
	}
	h := &bfdHolder{conn: conn, peer: gw, tell: tell}
	h.session = bfd.NewSession(time.Now(), c.Interval, uint8(c.Multiplier), 1+rand.Uint32N(1<<32-2), rand.Float64)
	defer conn.close()
	return h.run(ctx)
}

// bfdHolder drives a session.
type bfdHolder struct {
	conn    bfdConn
	peer    netip.Addr
	session *bfd.Session
	tell    func(Session)
	told    Session
}

func (h *bfdHolder) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, h.conn.stop)()
	buf := make([]byte, 128)
	for {
		n, from, ttl, err := h.conn.read(h.session.Next(), buf)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			h.leave()
			return nil
		case err == nil:
			h.receive(now, buf[:n], from, ttl)
		case errors.Is(err, os.ErrDeadlineExceeded):
			h.session.Tick(now)
		default:
			return fmt.Errorf("%w: receiving BFD packets: %w", ErrNotProbed, cause(err))
		}
		h.report()
		if due := h.session.Send(now); due != nil {
			_ = h.conn.write(due.Marshal()) // what cannot be sent is lost, as others are on the way
		}
	}
}

// leave tells the peer that nothing has failed.
func (h *bfdHolder) leave() {
	bye := h.session.Farewell()
	for range farewells {
		_ = h.conn.write(bye.Marshal())
	}
}

// receive takes a packet, if it is the peer's and nobody beyond the link could have sent it.
func (h *bfdHolder) receive(now time.Time, b []byte, from netip.Addr, ttl int) {
	packet, err := bfd.Unmarshal(b)
	if err != nil || from != h.peer || ttl != bfdTTL {
		return
	}
	if answer := h.session.Receive(now, packet); answer != nil {
		_ = h.conn.write(answer.Marshal())
	}
}

// report tells of a change.
func (h *bfdHolder) report() {
	now := h.told
	switch s := h.session; {
	case s.State() == bfd.Up:
		now = Session{State: SessionUp}
	case s.PeerOff():
		now = Session{State: SessionOff}
	case h.told.State == SessionUp:
		now = Session{State: SessionDown, Reason: h.reason()}
	case h.told.State == SessionOff:
		now = Session{State: SessionStarts}
	}
	if now != h.told {
		h.told = now
		h.tell(now)
	}
}

func (h *bfdHolder) reason() string {
	if h.session.Diag() == bfd.DetectionEnded {
		return "no packet within the detection time"
	}
	return fmt.Sprintf("the peer says Down (%s)", h.session.RemoteDiag())
}
