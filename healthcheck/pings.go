package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// pings sends the echo requests of all uplinks over one socket for each IP version: which interface
// a request leaves through, and with which mark, is said with each. Answers are read while requests
// are sent; those that are awaited then wake a goroutine when they come.
type pings struct {
	// enter runs a function that opens sockets.
	enter func(func())

	mu      sync.Mutex
	sockets map[pingSocketKey]*pingSocket
	uplinks map[string]*pingUplink // by name
	awaited map[pingKey]awaitedPing
	// first is not later than when the first of the awaited ones has failed; zero if none will.
	// late fires then, or has fired before, at lateAt; that is zero when it does not run.
	first, lateAt time.Time
	late          *time.Timer
	// waiter is there as long as there are sockets; waiting means that it waits for them.
	waiter  *pingWaiter
	waiting bool
}

// pingSocketKey is what the requests of a socket have in common.
type pingSocketKey struct {
	ipv6     bool
	priority uint32
}

// pingUplink is what the requests of an uplink have in common.
type pingUplink struct {
	id, seq uint16
	iface   string
	index   int
	// indexAt is when index was found; zero if it has to be found again.
	indexAt time.Time
}

// indexLife is how long an interface is taken to have the index that it had: one of the same name
// may have taken its place. If that one takes no packets, or none is answered, it is looked up at
// once.
const indexLife = 30 * time.Second

// awaitedPing is a request that was sent.
type awaitedPing struct {
	BatchProbe
	uplink *pingUplink
	sent   time.Time
}

// endedPing is one whose end is to be told, outside of the lock.
type endedPing struct {
	tell func(time.Duration, error)
	rtt  time.Duration
	err  error
}

func tellAll(list []endedPing) {
	for _, e := range list {
		e.tell(e.rtt, e.err)
	}
}

// send sends requests, and takes the answers that come meanwhile.
func (p *pings) send(probes []BatchProbe) {
	p.mu.Lock()
	p.wait(false) // an answer that is read here need not wake anybody
	ended := make([]endedPing, 0, len(probes))
	for _, s := range p.sockets { // what nobody asked for must not take the place of answers
		ended = p.take(s, ended)
	}
	for i := range probes {
		s, err := p.sendOne(&probes[i])
		if err != nil {
			ended = append(ended, endedPing{probes[i].Ended, 0, err})
			continue
		}
		ended = p.take(s, ended)
	}
	p.await()
	p.mu.Unlock()
	tellAll(ended)
}

// sendOne sends one request over the socket that it returns.
func (p *pings) sendOne(probe *BatchProbe) (*pingSocket, error) {
	c := probe.Config
	peer, err := parseAddr(probe.Target)
	if err != nil {
		return nil, err
	}
	u := p.uplink(c)
	s, err := p.socket(pingSocketKey{peer.Is6(), c.Priority})
	if err != nil {
		return nil, err
	}
	u.seq++
	k := pingKey{peer: peer, id: u.id, seq: u.seq, secret: rand.Uint64()}
	request := k.appendRequest(s.request[:0], s.cookie)
	s.request = request
	for {
		known := !u.indexAt.IsZero() && time.Since(u.indexAt) < indexLife
		if !known {
			if u.index, err = s.interfaceIndex(u.iface); err != nil {
				return nil, fmt.Errorf("%w: finding interface %s: %w", ErrNotProbed, u.iface, err)
			}
			u.indexAt = time.Now()
		}
		k.iface = u.index
		w := awaitedPing{BatchProbe: *probe, uplink: u, sent: time.Now()}
		if err = s.send(request, peer, u.index, c.Mark); err == nil {
			p.awaited[k] = w
			p.before(w.Until)
			return s, nil
		}
		u.indexAt = time.Time{}
		if !known {
			return nil, fmt.Errorf("sending: %w", err)
		}
	}
}

// uplink is what is known of the uplink of a check.
func (p *pings) uplink(c *Config) *pingUplink {
	l := p.uplinks[c.Uplink]
	if l == nil {
		l = &pingUplink{id: uint16(rand.Uint32())}
		p.uplinks[c.Uplink] = l
	}
	if l.iface != c.Interface {
		l.iface, l.indexAt = c.Interface, time.Time{}
	}
	return l
}

// socket returns the socket of a kind, and opens it if need be.
func (p *pings) socket(key pingSocketKey) (s *pingSocket, err error) {
	if s = p.sockets[key]; s != nil {
		return s, nil
	}
	if p.waiter == nil {
		if p.waiter, err = openPingWaiter(p.read); err != nil {
			return nil, err
		}
	}
	p.enter(func() { s, err = openPingSocket(key) })
	if err != nil {
		return nil, err
	}
	p.sockets[key] = s
	return s, nil
}

// floodSize is how many messages are read before others have a turn: more than a socket holds.
const floodSize = 4096

// newPings returns one that has sent nothing yet.
func newPings(enter func(func())) *pings {
	return &pings{
		enter: enter, sockets: map[pingSocketKey]*pingSocket{}, uplinks: map[string]*pingUplink{}, awaited: map[pingKey]awaitedPing{},
	}
}

// take reads what a socket has, and adds the requests that it ends.
func (p *pings) take(s *pingSocket, ended []endedPing) []endedPing {
	for range floodSize {
		k, why, err := s.receive()
		if errors.Is(err, errNoPing) {
			continue
		}
		if err != nil {
			break
		}
		w, known := p.awaited[k]
		if !known {
			continue
		}
		delete(p.awaited, k)
		ended = append(ended, endedPing{w.Ended, time.Since(w.sent), why})
		if len(p.awaited) == 0 {
			break // another look would find nothing
		}
	}
	return ended
}

// errNoPing is of a message that is no answer.
var errNoPing = errors.New("no answer to a ping")

// before notes when a request has failed.
func (p *pings) before(until time.Time) {
	if !until.IsZero() && (p.first.IsZero() || until.Before(p.first)) {
		p.first = until
	}
}

// expire adds the requests that have failed.
func (p *pings) expire(ended []endedPing) []endedPing {
	now := time.Now()
	if p.first.IsZero() || now.Before(p.first) {
		return ended
	}
	p.first = time.Time{}
	for k, w := range p.awaited {
		switch {
		case w.Until.IsZero():
		case now.Before(w.Until):
			if p.first.IsZero() || w.Until.Before(p.first) {
				p.first = w.Until
			}
		default:
			delete(p.awaited, k)
			w.uplink.indexAt = time.Time{}
			ended = append(ended, endedPing{w.Ended, 0, context.DeadlineExceeded})
		}
	}
	return ended
}

// await sees to it that answers are read and failures noticed, if any are awaited.
func (p *pings) await() {
	p.wait(len(p.awaited) > 0)
	if len(p.awaited) == 0 {
		p.first = time.Time{}
	}
	if p.first.IsZero() || !p.lateAt.IsZero() && !p.first.Before(p.lateAt) {
		return
	}
	p.lateAt = p.first
	if p.late == nil {
		p.late = time.AfterFunc(time.Until(p.first), p.endLate)
	} else {
		p.late.Reset(time.Until(p.first))
	}
}

// wait makes the waiter wait for the sockets, or leave them alone.
func (p *pings) wait(on bool) {
	if p.waiting == on {
		return
	}
	p.waiting = on
	for _, s := range p.sockets {
		p.waiter.watch(s, on)
	}
}

// read reads answers that were awaited.
func (p *pings) read() {
	p.end(func(ended []endedPing) []endedPing {
		for _, s := range p.sockets {
			ended = p.take(s, ended)
		}
		return ended
	})
}

// endLate ends the requests that have failed.
func (p *pings) endLate() {
	p.end(func(ended []endedPing) []endedPing {
		p.lateAt = time.Time{}
		for _, s := range p.sockets { // what was answered in time has not failed
			ended = p.take(s, ended)
		}
		return p.expire(ended)
	})
}

// end tells of the requests that find, which is called with the lock held, has ended.
func (p *pings) end(find func([]endedPing) []endedPing) {
	p.mu.Lock()
	ended := find(nil)
	p.await()
	p.mu.Unlock()
	tellAll(ended)
}

// release forgets an uplink.
func (p *pings) release(uplink string) {
	p.mu.Lock()
	for k, w := range p.awaited {
		if w.Config.Uplink == uplink {
			delete(p.awaited, k)
		}
	}
	delete(p.uplinks, uplink)
	p.await()
	waiter := p.tidy()
	p.mu.Unlock()
	if waiter != nil {
		waiter.close()
	}
}

// tidy closes what is open when there are no uplinks. It returns the waiter, which has to be closed
// without the lock.
func (p *pings) tidy() (waiter *pingWaiter) {
	if len(p.uplinks) > 0 {
		return nil
	}
	for key, s := range p.sockets {
		s.close()
		delete(p.sockets, key)
	}
	waiter, p.waiter = p.waiter, nil
	return waiter
}
