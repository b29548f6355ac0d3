package lab

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"
)

// streamPatience is how long a stopped stream waits for the answers that are still under way.
const streamPatience = 100 * time.Millisecond

// Stream is a client that sends a datagram to an echo server again and again, from one port,
// whether there are answers or not.
type Stream struct {
	conn  *Conn
	every time.Duration
	stop  chan struct{}
	done  sync.WaitGroup

	mu   sync.Mutex
	tale StreamTale
	last time.Time
}

// StreamTale is what became of a stream.
type StreamTale struct {
	Sent, Answered int
	// Refused are datagrams that could not be sent, or came back as an ICMP error.
	Refused int
	// Gap is the longest time between two answers.
	Gap time.Duration
	// By counts the answers by the host that gave them; Last gave the last one.
	By   map[string]int
	Last string
}

// Lost is how many were not answered.
func (s StreamTale) Lost() int { return s.Sent - s.Answered }

func (s StreamTale) String() string {
	return fmt.Sprintf("%d sent, %d lost (%d refused), longest silence %v, answered by %v", s.Sent, s.Lost(),
		s.Refused, s.Gap.Round(100*time.Microsecond), s.By)
}

// Stream starts a stream; it ends with the test, or by Stop.
func (h *Host) Stream(src netip.Addr, dst netip.AddrPort, every time.Duration) *Stream {
	h.lab.t.Helper()
	c, err := h.Dial("udp", src, dst, DialOptions{})
	if err != nil {
		h.lab.t.Fatalf("starting a stream: %v", err)
	}
	s := &Stream{conn: c, every: every, stop: make(chan struct{}), tale: StreamTale{By: map[string]int{}}, last: time.Now()}
	s.done.Add(2)
	go s.send()
	go s.receive()
	h.lab.t.Cleanup(func() { s.Stop() })
	return s
}

func (s *Stream) send() {
	defer s.done.Done()
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		_, err := s.conn.conn.Write([]byte("?\n"))
		s.mu.Lock()
		s.tale.Sent++
		if err != nil {
			s.tale.Refused++
		}
		s.mu.Unlock()
	}
}

func (s *Stream) receive() {
	defer s.done.Done()
	buf := make([]byte, 256)
	for {
		n, err := s.conn.conn.Read(buf)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			return
		}
		if err != nil {
			select {
			case <-s.stop:
				return
			case <-time.After(s.every): // an ICMP error
				continue
			}
		}
		s.note(buf[:n])
	}
}

func (s *Stream) note(answer []byte) {
	var by, src string
	_, _ = fmt.Sscan(string(answer), &by, &src)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.tale.Gap = max(s.tale.Gap, now.Sub(s.last))
	s.last = now
	s.tale.Answered++
	s.tale.By[by]++
	s.tale.Last = by
}

// Tale returns how it goes.
func (s *Stream) Tale() StreamTale {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tale
	t.By = maps.Clone(t.By)
	return t
}

// Stop ends the stream and returns how it went.
func (s *Stream) Stop() StreamTale {
	select {
	case <-s.stop:
	default:
		close(s.stop)
		_ = s.conn.conn.SetReadDeadline(time.Now().Add(streamPatience))
	}
	s.done.Wait()
	return s.Tale()
}
