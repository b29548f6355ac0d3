package answer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var (
	server = netip.MustParseAddrPort("192.0.2.53:53")
	client = netip.MustParseAddrPort("192.0.2.1:40000")
	noon   = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

// framed is a message as TCP carries it: what looks like an answer, of n bytes, filled with fill.
func framed(n int, fill byte) []byte {
	b := slices.Repeat([]byte{fill}, n)
	b[2] = 0x80
	return append(binary.BigEndian.AppendUint16(nil, uint16(n)), b...)
}

func tcp(seq uint32, flags uint8, payload []byte) *Packet {
	return &Packet{Src: server, Dst: client, TCP: true, Seq: seq, Flags: flags, Payload: payload}
}

// gather returns what messages a sequence of packets completes, by length and last byte.
func gather(s *Streams, packets ...*Packet) (got []string) {
	for _, p := range packets {
		s.Add(p, noon, func(msg []byte) { got = append(got, fmt.Sprintf("%d:%d", len(msg), msg[len(msg)-1])) })
	}
	return got
}

func TestStreams(t *testing.T) {
	start := uint32(0xfffffff0) // numbers wrap on the way
	one, two := framed(600, 1), framed(30, 2)
	both := slices.Concat(one, two)
	syn := tcp(start-1, flagSYN, nil)
	at := func(from, to int) *Packet { return tcp(start+uint32(from), 0, both[from:to]) }
	for _, tt := range []struct {
		name    string
		packets []*Packet
		want    []string
	}{
		{"whole", []*Packet{syn, at(0, len(one))}, []string{"600:1"}},
		{"two in one segment", []*Packet{syn, at(0, len(both))}, []string{"600:1", "30:2"}},
		{"in segments", []*Packet{syn, at(0, 1), at(1, 100), at(100, 610), at(610, len(both))}, []string{"600:1", "30:2"}},
		{"sent again", []*Packet{syn, at(0, 100), at(0, 100), at(50, 602), at(0, 602)}, []string{"600:1"}},
		{"out of order", []*Packet{syn, at(100, 300), at(300, len(both)), at(0, 100)}, []string{"600:1", "30:2"}},
		{"without its beginning", []*Packet{at(0, len(one)), at(len(one), len(both))}, []string{"600:1", "30:2"}},
		{"from the middle of a message on", []*Packet{at(10, len(one)), at(len(one), len(both))}, []string{"30:2"}},
		{"closed", []*Packet{syn, at(0, 100), tcp(start+100, flagFIN, nil), at(100, 602)}, nil},
		{"reset and started over", []*Packet{syn, at(0, 100), tcp(0, flagRST, nil), tcp(8, flagSYN, nil),
			tcp(9, 0, two)}, []string{"30:2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := gather(NewStreams(), tt.packets...); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Every way to cut and mix a stream gives the same messages, as long as no more is late than is
// kept.
func TestStreamsCutAnyhow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var all []byte
		var want []string
		for i := range 1 + rng.IntN(5) {
			n := 13 + rng.IntN(900)
			all = append(all, framed(n, byte(i))...)
			want = append(want, fmt.Sprintf("%d:%d", n, i))
		}
		packets := []*Packet{tcp(99, flagSYN, nil)}
		for at := 0; at < len(all); {
			n := min(len(all)-at, 1+rng.IntN(400))
			packets = append(packets, tcp(100+uint32(at), 0, all[at:at+n]))
			at += n
		}
		for range 3 {
			if i := 1 + rng.IntN(len(packets)); i+1 < len(packets) {
				packets[i], packets[i+1] = packets[i+1], packets[i]
			}
		}
		if got := gather(NewStreams(), packets...); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

// Neither many connections nor messages that never end fill the memory.
func TestStreamsBounds(t *testing.T) {
	s := NewStreams()
	part := slices.Repeat([]byte{0xff}, 60000)
	for i := range 3 * maxStreams {
		to := netip.AddrPortFrom(client.Addr(), uint16(i))
		s.Add(&Packet{Src: server, Dst: to, TCP: true, Flags: flagSYN}, noon, nil)
		for n := range 4 {
			s.Add(&Packet{Src: server, Dst: to, TCP: true, Seq: 1 + 100*uint32(n), Payload: part[:100+n*15000]}, noon, func([]byte) {})
		}
		if s.buffered > maxBuffered || s.order.Len() > maxStreams || s.order.Len() != len(s.byEnds) {
			t.Fatalf("%d bytes of %d connections", s.buffered, s.order.Len())
		}
	}
	s.Add(tcp(0, 0, part), noon.Add(streamLife+time.Second), nil)
	if s.order.Len() != 1 || s.buffered != 0 {
		t.Errorf("%d connections with %d bytes are left", s.order.Len(), s.buffered)
	}
}

func FuzzStreams(f *testing.F) {
	f.Add(uint32(5), framed(20, 3), uint8(3))
	f.Fuzz(func(t *testing.T, seq uint32, b []byte, cut uint8) {
		s := NewStreams()
		at := min(int(cut), len(b))
		for _, p := range []*Packet{tcp(seq, 0, b), tcp(seq+uint32(len(b)), 0, b), tcp(seq-1, flagSYN, nil),
			tcp(seq+uint32(at), 0, b[at:]), tcp(seq, 0, b[:at])} {
			s.Add(p, noon, func([]byte) {})
		}
		n := 0
		for e := s.order.Front(); e != nil; e = e.Next() {
			n += e.Value.(*stream).size()
		}
		if n != s.buffered {
			t.Errorf("%d bytes are kept, and %d counted", n, s.buffered)
		}
	})
}

func FuzzReadPacket(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 53, 192, 0, 2, 1, 0, 53, 0x9c, 0x40, 0, 9, 0, 0, 'x'})
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 17, 60, 64}, append(make([]byte, 32), 17, 0, 0, 0, 0, 0, 0, 0, 0, 53, 1, 1, 0, 9, 0, 0, 'x')...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := ReadPacket(b); ok && (!p.Src.IsValid() || !p.Dst.IsValid() || len(p.Payload) > len(b)) {
			t.Errorf("%+v", p)
		}
	})
}

func TestReadPacket(t *testing.T) {
	udp4 := []byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 53, 192, 0, 2, 1, 0, 53, 0x9c, 0x40, 0, 9, 0, 0, 'x', 'p', 'a', 'd'}
	t.Run("IPv4 with UDP, and no later fragment", func(t *testing.T) {
		p, ok := ReadPacket(udp4)
		if !ok || p.Src != server || p.Dst != client || p.TCP || string(p.Payload) != "x" {
			t.Errorf("%v, %+v", ok, p)
		}
		udp4[7] = 1
		if _, ok := ReadPacket(udp4); ok {
			t.Error("a later fragment was read")
		}
	})
	t.Run("IPv6 with TCP behind an option, and no byte less", func(t *testing.T) {
		six := append([]byte{0x60, 0, 0, 0, 0, 29, 0, 64}, netip.MustParseAddr("2001:db8::53").AsSlice()...)
		six = append(six, netip.MustParseAddr("2001:db8::1").AsSlice()...)
		six = append(six, 6, 0, 0, 0, 0, 0, 0, 0, 0, 53, 0x9c, 0x40, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0, 'x')
		if p, ok := ReadPacket(six); !ok || !p.TCP || p.Seq != 9 || p.Src.Port() != 53 || string(p.Payload) != "x" {
			t.Errorf("%v, %+v", ok, p)
		}
		for n := range six {
			if _, ok := ReadPacket(six[:n]); ok {
				t.Errorf("%d bytes of a packet were read", n)
			}
		}
	})
}
