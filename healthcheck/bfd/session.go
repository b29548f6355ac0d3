package bfd

import "time"

// slow is how often packets are sent at most while a session is not up (RFC 5880, 6.8.3).
const slow = time.Second

// Session is our end of one. Whoever calls its methods tells the time, and sends what they return.
type Session struct {
	interval   time.Duration
	multiplier uint8
	mine       uint32
	// random returns 0 to 1, for the jitter of packets.
	random func() float64

	state State
	diag  Diag
	// remote is what the peer said last; its Multiplier is 0 while nothing that it said holds. off
	// tells that it last said AdminDown.
	remote Packet
	off    bool
	heard  time.Time
	// desired is the interval that we announce, polling that the peer has not confirmed it yet.
	desired time.Duration
	polling bool
	next    time.Time // of our next packet
}

// NewSession makes our end of a session: how often we send and want to receive, how many lost
// packets end it, and our discriminator, which is not 0.
func NewSession(now time.Time, interval time.Duration, multiplier uint8, discriminator uint32, random func() float64) *Session {
	return &Session{
		interval: interval, multiplier: multiplier, mine: discriminator, random: random,
		state: Down, desired: max(slow, interval), next: now,
	}
}

// State is our own.
func (s *Session) State() State { return s.state }

// Diag is why the session is not up.
func (s *Session) Diag() Diag { return s.diag }

// PeerOff reports whether the peer's administrator switched its end off: AdminDown is what it said
// last.
func (s *Session) PeerOff() bool { return s.off }

// RemoteDiag is why the peer says that its end is not up.
func (s *Session) RemoteDiag() Diag { return s.remote.Diag }

// Detection is how long the peer may be silent (RFC 5880, 6.8.4).
func (s *Session) Detection() time.Duration {
	return time.Duration(s.remote.Multiplier) * max(s.interval, s.remote.DesiredTx)
}

// Receive takes a packet of the peer, and returns the answer that is to be sent at once, nil if
// there is none (RFC 5880, 6.8.6).
func (s *Session) Receive(now time.Time, p Packet) *Packet {
	if p.Yours != 0 && p.Yours != s.mine {
		return nil
	}
	s.remote, s.heard, s.off = p, now, p.State == AdminDown
	if p.Final {
		s.polling = false
	}
	s.step(now, p)
	// What the peer can take, and wants, may come sooner than the packet that is planned.
	s.next = earlier(s.next, now.Add(s.wait()))
	if !p.Poll {
		return nil
	}
	answer := s.packet()
	answer.Poll, answer.Final = false, true
	return &answer
}

// step changes the state by the peer's (RFC 5880, 6.8.6).
func (s *Session) step(now time.Time, p Packet) {
	switch {
	case p.State == AdminDown:
		if s.state != Down {
			s.become(now, Down, NeighbourSaysSo)
		}
	case s.state == Down && p.State == Down:
		s.become(now, Init, NoDiag)
	case s.state == Down && p.State == Init, s.state == Init && p.State >= Init:
		s.become(now, Up, NoDiag)
	case s.state == Up && p.State == Down:
		s.become(now, Down, NeighbourSaysSo)
	}
}

// become changes the state. It is told at once, and with Up the quick interval by a poll.
func (s *Session) become(now time.Time, state State, diag Diag) {
	s.state, s.diag = state, diag
	s.next = now
	s.polling = state == Up
	if s.desired = max(slow, s.interval); state == Up {
		s.desired = s.interval
	}
}

// Tick ends a session whose peer is silent for too long.
func (s *Session) Tick(now time.Time) {
	if end := s.deadline(); !end.IsZero() && !now.Before(end) {
		if s.state == Init || s.state == Up {
			s.become(now, Down, DetectionEnded)
		}
		// The peer may have another discriminator when it is back (RFC 5880, 6.8.1).
		s.remote, s.heard = Packet{}, time.Time{}
	}
}

// Send returns the packet that is due, nil if none is.
func (s *Session) Send(now time.Time) *Packet {
	if now.Before(s.next) {
		return nil
	}
	wait := s.wait()
	s.next = now.Add(wait - time.Duration(s.jitter()*float64(wait)))
	if s.silenced() {
		return nil
	}
	p := s.packet()
	return &p
}

// jitter is the part by which an interval is shortened: up to a quarter, and with a multiplier of 1
// at least a tenth (RFC 5880, 6.8.7).
func (s *Session) jitter() float64 {
	if s.multiplier == 1 {
		return 0.10 + 0.15*s.random()
	}
	return 0.25 * s.random()
}

// silenced reports whether the peer wants no periodic packets.
func (s *Session) silenced() bool {
	heard := s.remote.Multiplier != 0
	demand := s.remote.Demand && s.state == Up && s.remote.State == Up && !s.polling
	return heard && s.remote.RequiredRx == 0 || demand
}

// wait is the time between two packets of ours.
func (s *Session) wait() time.Duration { return max(s.desired, s.remote.RequiredRx) }

// deadline is when silence ends the session, zero if it cannot.
func (s *Session) deadline() time.Time {
	if s.heard.IsZero() {
		return time.Time{}
	}
	return s.heard.Add(s.Detection())
}

// Next is when Tick or Send have something to do.
func (s *Session) Next() time.Time {
	if end := s.deadline(); !end.IsZero() {
		return earlier(s.next, end)
	}
	return s.next
}

// Farewell is the packet that tells the peer that the session ends because we want it to, which is
// no failure (RFC 5882, 4.2).
func (s *Session) Farewell() Packet {
	s.state, s.diag, s.polling = AdminDown, Administrative, false
	return s.packet()
}

func (s *Session) packet() Packet {
	return Packet{
		Diag: s.diag, State: s.state, Poll: s.polling, Multiplier: s.multiplier, Mine: s.mine, Yours: s.remote.Mine,
		DesiredTx: s.desired, RequiredRx: s.interval,
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
