package learn

import (
	"context"
	"net/netip"
	"time"

	"pbr/kernel/tap"
	"pbr/kernel/tap/answer"
	"pbr/kernel/tap/book"
)

// reader reads answers. It is for one goroutine.
type reader struct {
	l       *Learner
	topic   *topic
	answers *answer.Reader
	streams *answer.Streams
	changes []book.Change
	// taught means that something that was read last changes a set.
	taught bool
	timer  *time.Timer
	// late is a change that took too long; what comes is not held until it is done.
	late <-chan struct{}
}

// turn reads what there is, and lets it go when what it teaches is known.
func (r *reader) turn(ctx context.Context) {
	listener := r.prepare()
	if listener == nil {
		r.await(ctx)
		return
	}
	r.taught = false
	now := time.Now()
	if err := listener.Receive(glance, atOnce, func(p tap.Packet) { r.packet(&p, now) }); err != nil {
		r.l.fail(err)
		r.pause(ctx)
		return
	}
	switch {
	case r.taught && listener.Holds():
		r.wait()
	case r.taught:
		r.l.wake()
	}
	if err := listener.Accept(); err != nil {
		r.l.fail(err)
	}
}

// await waits for something to read from.
func (r *reader) await(ctx context.Context) {
	select {
	case <-r.l.bound:
	case <-ctx.Done():
	}
}

// pause waits before the next try.
func (r *reader) pause(ctx context.Context) {
	select {
	case <-time.After(glance):
	case <-ctx.Done():
	}
}

// prepare takes over another listener or topic.
func (r *reader) prepare() *tap.Listener {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != l.next {
		if l.listener != nil {
			_ = l.listener.Close()
		}
		l.listener = l.next
		l.wake()
	}
	r.follow()
	l.answers = r.reads(l.answers)
	return l.listener
}

// follow takes over what is learned now; the lock is held.
func (r *reader) follow() {
	if r.topic == r.l.topic {
		return
	}
	r.topic = r.l.topic
	if r.topic != nil && r.topic.names != nil {
		r.answers = answer.NewReader(r.topic.names)
	}
}

// renew is follow for whoever does not hold the lock.
func (r *reader) renew() {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.follow()
}

// reads notes whether there is anything to read answers for, and from; the lock is held.
func (r *reader) reads(a Answers) Answers {
	switch reading := r.l.listener != nil && r.topic != nil && !r.topic.empty(); {
	case !reading:
		return Answers{}
	case a.Since.IsZero():
		a.Since = time.Now()
	}
	return a
}

// seen counts an answer to somebody else.
func (r *reader) seen(p *answer.Packet, now time.Time) {
	to := p.Dst.Addr()
	if len(p.Payload) == 0 || to.IsLoopback() || r.topic.own[to] {
		return
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.l.answers.Count++
	r.l.answers.Last = now
}

// end lets go what waits.
func (r *reader) end() {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if l := r.l.listener; l != nil {
		_ = l.Receive(time.Millisecond, tap.QueueLength, func(tap.Packet) {})
		_ = l.Accept()
		_ = l.Close()
		r.l.listener, r.l.next = nil, nil
	}
}

// packet reads one packet. What it cannot read teaches nothing.
func (r *reader) packet(p *tap.Packet, now time.Time) {
	if r.renew(); r.topic == nil || r.topic.empty() {
		return
	}
	packet, ok := answer.ReadPacket(p.Data)
	if !ok {
		return
	}
	r.seen(&packet, now)
	learn := func(msg []byte) { r.message(msg, &packet, p.Hook == tap.HookOutput, now) }
	if packet.TCP {
		r.streams.Add(&packet, now, learn)
		return
	}
	learn(packet.Payload)
}

// message reads an answer. If what is learned changed meanwhile, it is read for that, too: nobody
// reads it again.
func (r *reader) message(msg []byte, p *answer.Packet, sentHere bool, now time.Time) {
	for r.topic != nil && !r.topic.empty() {
		a, ok := r.answers.Read(msg)
		if r.learn(&a, ok, p, sentHere, now) {
			return
		}
		r.renew()
	}
}

// learn takes the addresses of an answer, if it is one for our names. It returns false, and takes
// none, if it was read for what is not learned any more.
func (r *reader) learn(a *answer.Answer, ours bool, p *answer.Packet, sentHere bool, now time.Time) bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.topic != r.l.topic || !ours {
		return r.topic == r.l.topic
	}
	for _, i := range a.Lists {
		list := &r.topic.Lists[i]
		if !list.trusts(p.Src.Addr(), sentHere) {
			continue
		}
		for _, address := range a.Addresses {
			if !r.topic.takes(list, address.Addr) {
				continue
			}
			family := 0
			if address.Addr.Is6() {
				family = 1
			}
			s := r.topic.sets[i][family]
			life := max(list.Timeout, time.Duration(address.TTL)*time.Second)
			r.changes = s.book.Teach(r.changes[:0], now, address.Addr, a.Name, life)
			for _, c := range r.changes {
				s.note(c)
				r.taught = true
			}
		}
	}
	return true
}

// Answer takes an answer that a server gave to this process, which need not have passed the queue.
func (l *Learner) Answer(msg []byte, server netip.Addr) {
	r := reader{l: l}
	if r.renew(); r.topic == nil {
		return
	}
	r.message(msg, &answer.Packet{Src: netip.AddrPortFrom(server, 0)}, server.IsLoopback() || r.topic.own[server], time.Now())
	l.wake()
}

// wait has the changes done. It gives up after a while: an answer that comes late is better than
// none.
func (r *reader) wait() {
	l := r.l
	l.mu.Lock()
	if l.done == nil {
		l.done = make(chan struct{})
	}
	done := l.done
	l.wake()
	l.mu.Unlock()
	if r.late != nil {
		select {
		case <-r.late:
			r.late = nil
		default:
			return
		}
	}
	r.timer.Reset(patience)
	select {
	case <-done:
		r.timer.Stop()
	case <-r.timer.C:
		r.late = done
	}
}
