package answer

import (
	"container/list"
	"encoding/binary"
	"net/netip"
	"time"
)

// Bounds of what TCP answers may have us remember: of that many connections, in so many bytes, and
// for so long after the last packet.
const (
	maxStreams  = 1024
	maxBuffered = 4 << 20
	streamLife  = 2 * time.Minute
	// maxLate is how many segments are kept of one connection that came before those in front of
	// them.
	maxLate = 8
)

// lengthSize is the size of the length in front of each message on TCP (RFC 1035, section 4.2.2).
const lengthSize = 2

// Streams puts messages together that TCP carries in segments.
type Streams struct {
	byEnds map[ends]*list.Element
	// order has the streams, the one that was heard of last in front.
	order *list.List
	// buffered is how many bytes all of them keep.
	buffered int
}

type ends struct{ src, dst netip.AddrPort }

// stream is one direction of a connection.
type stream struct {
	ends ends
	last time.Time
	// next is the number of the byte that comes after data; known is false while the beginning of a
	// message is not.
	next  uint32
	known bool
	// data is a message that is not complete yet, with its length.
	data []byte
	// late are segments from behind a gap.
	late []segment
}

type segment struct {
	seq  uint32
	data []byte
}

// NewStreams returns Streams that no packet has met.
func NewStreams() *Streams { return &Streams{byEnds: map[ends]*list.Element{}, order: list.New()} }

// Add takes a TCP packet, and calls f with each message that is complete with it. The message is
// valid during the call.
func (s *Streams) Add(p *Packet, now time.Time, f func(msg []byte)) {
	s.expire(now)
	key := ends{p.Src, p.Dst}
	e := s.byEnds[key]
	if p.Flags&flagSYN != 0 {
		s.drop(e)
		s.open(key, now).begin(p.Seq + 1)
		return
	}
	if len(p.Payload) > 0 {
		if e == nil {
			s.open(key, now)
			e = s.byEnds[key]
		}
		s.order.MoveToFront(e)
		st := e.Value.(*stream)
		st.last = now
		before := st.size()
		st.add(p.Seq, p.Payload, f)
		s.buffered += st.size() - before
	}
	if p.Flags&(flagFIN|flagRST) != 0 {
		s.drop(s.byEnds[key])
	}
	for s.order.Len() > maxStreams || s.buffered > maxBuffered {
		s.drop(s.order.Back())
	}
}

func (s *Streams) open(key ends, now time.Time) *stream {
	st := &stream{ends: key, last: now}
	s.byEnds[key] = s.order.PushFront(st)
	return st
}

func (s *Streams) expire(now time.Time) {
	for e := s.order.Back(); e != nil && now.Sub(e.Value.(*stream).last) > streamLife; e = s.order.Back() {
		s.drop(e)
	}
}

func (s *Streams) drop(e *list.Element) {
	if e == nil {
		return
	}
	st := e.Value.(*stream)
	s.buffered -= st.size()
	s.order.Remove(e)
	delete(s.byEnds, st.ends)
}

func (st *stream) size() int {
	n := len(st.data)
	for i := range st.late {
		n += len(st.late[i].data)
	}
	return n
}

// begin says where a message begins.
func (st *stream) begin(seq uint32) { st.next, st.known, st.data, st.late = seq, true, nil, nil }

// add takes a segment, and then those behind it that came before.
func (st *stream) add(seq uint32, b []byte, f func([]byte)) {
	if !st.known && wholeMessages(b) {
		st.begin(seq) // of a connection whose beginning was not seen, or of which something was missed
	}
	if !st.known || !st.append(seq, b, f) {
		return
	}
	for again := true; again; {
		again = false
		for i, l := range st.late {
			if int32(l.seq-st.next) <= 0 {
				st.late = append(st.late[:i], st.late[i+1:]...)
				st.append(l.seq, l.data, f)
				again = true
				break
			}
		}
	}
}

// append takes a segment, and reports whether it follows what there is: otherwise something is
// missing in front of it.
func (st *stream) append(seq uint32, b []byte, f func([]byte)) bool {
	switch ahead := int32(seq - st.next); {
	case ahead > 0:
		st.keep(seq, b)
		return false
	case int(-int64(ahead)) >= len(b):
		return true // sent again
	default:
		b = b[-int64(ahead):]
	}
	st.next += uint32(len(b))
	if len(st.data) > 0 {
		b = append(st.data, b...)
	}
	for len(b) >= lengthSize {
		n := lengthSize + int(binary.BigEndian.Uint16(b))
		if len(b) < n {
			break
		}
		f(b[lengthSize:n])
		b = b[n:]
	}
	st.data = append([]byte(nil), b...)
	return true
}

// keep remembers a segment from behind a gap. With too many of them what is in between was missed,
// and will not come.
func (st *stream) keep(seq uint32, b []byte) {
	if len(st.late) == maxLate {
		st.known, st.data, st.late = false, nil, nil
		return
	}
	st.late = append(st.late, segment{seq, append([]byte(nil), b...)})
}

// wholeMessages reports whether bytes look like whole answers with their lengths: what can be
// reported a connection whose beginning is not known.
func wholeMessages(b []byte) bool {
	const header, response = 12, 0x80
	for len(b) >= lengthSize+header {
		n := lengthSize + int(binary.BigEndian.Uint16(b))
		if n < lengthSize+header || n > len(b) || b[4]&response == 0 {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}
