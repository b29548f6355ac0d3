package healthcheck

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
	"github.com/miekg/dns"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"pbr/compiler/ipproto"
	"pbr/integration/lab"
)

// answerPings answers the pings that a host gets, from another address if need be, after lie has
// changed the answer.
func answerPings(t *testing.T, h *lab.Host, network, from string, lie func(*icmp.Echo)) {
	t.Helper()
	proto, request, answer := ipproto.ICMP, icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	if network == "ip6:58" {
		proto, request, answer = ipproto.ICMPv6, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	var in, out net.PacketConn
	var err, err2 error
	h.Do(func() {
		in, err = net.ListenPacket(network, "")
		out, err2 = net.ListenPacket(network, from)
	})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	t.Cleanup(func() { _ = in.Close(); _ = out.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, peer, err := in.ReadFrom(buf)
			if err != nil {
				return
			}
			m, err := icmp.ParseMessage(proto, buf[:n])
			if err != nil || m.Type != request {
				continue
			}
			echo := m.Body.(*icmp.Echo)
			lie(echo)
			b, err := (&icmp.Message{Type: answer, Body: echo}).Marshal(nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = out.WriteTo(b, peer)
		}
	}()
}

func TestPingBelievesOnlyItsOwnAnswer(t *testing.T) {
	t.Parallel()
	truth := func(*icmp.Echo) {}
	for name, row := range map[string]struct {
		from4, from6 string
		lie          func(*icmp.Echo)
		believed     bool
	}{
		"the truth":      {"8.8.8.8", "2001:db8::8", truth, true},
		"another source": {"8.8.4.4", "2001:db8::4", truth, false},
		"another id":     {"8.8.8.8", "2001:db8::8", func(e *icmp.Echo) { e.ID ^= 1 }, false},
		"another number": {"8.8.8.8", "2001:db8::8", func(e *icmp.Echo) { e.Seq ^= 1 }, false},
		"another secret": {"8.8.8.8", "2001:db8::8", func(e *icmp.Echo) { e.Data[7] ^= 1 }, false},
		"no secret":      {"8.8.8.8", "2001:db8::8", func(e *icmp.Echo) { e.Data = e.Data[:4] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLines(t)
			l.far.Sysctl("net/ipv4/icmp_echo_ignore_all", "1")
			l.far.Sysctl("net/ipv6/icmp/echo_ignore_all", "1")
			answerPings(t, l.far, "ip4:1", row.from4, row.lie)
			answerPings(t, l.far, "ip6:58", row.from6, row.lie)
			for _, target := range []string{"8.8.8.8", "2001:db8::8"} {
				if row.believed {
					l.wantAnswer(t, MethodPing, target)
				} else {
					l.wantSilence(t, MethodPing, target)
				}
			}
		})
	}
}

func TestDNSBelievesOnlyTheAnswer(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	var answer atomic.Value
	serveDNS(t, l.far, "", func(w dns.ResponseWriter, q *dns.Msg) {
		for _, b := range answer.Load().(func(q *dns.Msg) [][]byte)(q) {
			_, _ = w.Write(b)
		}
	})
	pack := func(q *dns.Msg, change func(*dns.Msg)) []byte {
		m := new(dns.Msg).SetReply(q)
		change(m)
		b, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return b
	}
	wrong := []func(*dns.Msg){
		func(m *dns.Msg) { m.Id++ },
		func(m *dns.Msg) { m.Response = false },
		func(m *dns.Msg) { m.Question[0].Name = "example." },
		func(m *dns.Msg) { m.Question = nil },
	}
	for i, lie := range wrong {
		answer.Store(func(q *dns.Msg) [][]byte { return [][]byte{pack(q, lie)} })
		if l.wantSilence(t, MethodDNS, "9.9.9.9"); t.Failed() {
			t.Fatalf("wrong answer %d was believed", i)
		}
	}
	answer.Store(func(*dns.Msg) [][]byte { return [][]byte{{1, 2, 3}, {}} })
	l.wantSilence(t, MethodDNS, "9.9.9.9")
	// After all of them the right one.
	answer.Store(func(q *dns.Msg) (all [][]byte) {
		for _, lie := range wrong {
			all = append(all, pack(q, lie))
		}
		return append(all, []byte{1}, pack(q, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }))
	})
	l.wantAnswer(t, MethodDNS, "9.9.9.9")
	for code, want := range map[int]string{dns.RcodeServerFailure: "the server answers SERVFAIL",
		dns.RcodeRefused: "the server answers REFUSED"} {
		answer.Store(func(q *dns.Msg) [][]byte { return [][]byte{pack(q, func(m *dns.Msg) { m.Rcode = code })} })
		if err := l.probe(MethodDNS, "9.9.9.9", patience); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// repeat sends a packet again and again until the test ends.
func repeat(t *testing.T, send func() error) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if err := send(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

func TestARPBelievesOnlyTheAnswer(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	var ifi *net.Interface
	var conn *packet.Conn
	var err error
	l.far.Do(func() {
		if ifi, err = net.InterfaceByName("up0"); err == nil {
			conn, err = packet.Listen(ifi, packet.Datagram, etherTypeARP, nil)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	router, err := net.ParseMAC(l.router.MAC("wan2"))
	if err != nil {
		t.Fatal(err)
	}
	const target = "198.51.100.77" // nobody has it
	asked, own := netip.MustParseAddr(target), netip.MustParseAddr("198.51.100.2")
	stranger := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	for _, row := range []struct {
		name     string
		op       uint16
		from, to netip.Addr
		mac      net.HardwareAddr
		believed bool
	}{
		{"another's answer", arpReply, netip.MustParseAddr("198.51.100.1"), own, router, false},
		{"an answer to another's MAC", arpReply, asked, own, stranger, false},
		{"an answer to another's address", arpReply, asked, netip.MustParseAddr("198.51.100.3"), router, false},
		{"a question", arpRequest, asked, own, router, false},
		{"the answer", arpReply, asked, own, router, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := arpMessage{operation: row.op, senderMAC: ifi.HardwareAddr, sender: row.from, targetMAC: row.mac, target: row.to}.marshal()
			stop := repeat(t, func() error {
				_, err := conn.WriteTo(b, &packet.Addr{HardwareAddr: router})
				return err
			})
			if row.believed {
				l.wantAnswer(t, MethodARP, target)
			} else {
				l.wantSilence(t, MethodARP, target)
			}
			stop()
		})
	}
}

func TestNeighbourSolicitationBelievesOnlyTheAnswer(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	const target = "2001:db8:f2::77" // nobody has it
	for _, row := range []struct {
		name, about string
		hops        int
		solicited   bool
		believed    bool
	}{
		{"another's answer", "2001:db8:f2::1", 255, true, false},
		{"an answer through a router", target, 254, true, false},
		{"news, no answer", target, 255, false, false},
		{"the answer", target, 255, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var conn net.PacketConn
			var err error
			l.far.Do(func() { conn, err = net.ListenPacket("ip6:58", "2001:db8:f2::1") })
			if err != nil {
				t.Fatal(err)
			}
			if err := ipv6.NewPacketConn(conn).SetHopLimit(row.hops); err != nil {
				t.Fatal(err)
			}
			b, err := ndp.MarshalMessage(&ndp.NeighborAdvertisement{Solicited: row.solicited,
				TargetAddress: netip.MustParseAddr(row.about)})
			if err != nil {
				t.Fatal(err)
			}
			stop := repeat(t, func() error {
				_, err := conn.WriteTo(b, &net.IPAddr{IP: net.ParseIP("2001:db8:f2::2")})
				return err
			})
			t.Log(row.name)
			if row.believed {
				l.wantAnswer(t, MethodARP, target)
			} else {
				l.wantSilence(t, MethodARP, target)
			}
			stop()
			_ = conn.Close()
		})
	}
}

func TestQuotedRequests(t *testing.T) {
	t.Parallel()
	echo := func(n int) []byte {
		b := make([]byte, n)
		if n >= 8 {
			binary.BigEndian.PutUint16(b[4:], 7)
			binary.BigEndian.PutUint16(b[6:], 9)
		}
		return b
	}
	header4 := append([]byte{0x46, 0, 0, 0, 0, 0, 0, 0, 64, ipproto.ICMP, 0, 0, 1, 1, 1, 1, 8, 8, 8, 8}, 0, 0, 0, 0) // with an option
	header6 := append([]byte{0x60, 0, 0, 0, 0, 16, ipproto.ICMPv6, 64}, make([]byte, 32)...)
	for name, row := range map[string]struct {
		proto  int
		packet []byte
		want   bool
	}{
		"IPv4":              {ipproto.ICMP, append(header4[:24:24], echo(16)...), true},
		"IPv4, too short":   {ipproto.ICMP, append(header4[:24:24], echo(15)...), false},
		"IPv4, header only": {ipproto.ICMP, header4[:22], false},
		"IPv4, nothing":     {ipproto.ICMP, nil, false},
		"IPv4, bad header":  {ipproto.ICMP, append([]byte{0x41}, header4[1:]...), false},
		"IPv6":              {ipproto.ICMPv6, append(header6[:40:40], echo(16)...), true},
		"IPv6, too short":   {ipproto.ICMPv6, append(header6[:40:40], echo(7)...), false},
		"IPv6, nothing":     {ipproto.ICMPv6, header6[:39], false},
	} {
		t.Run(name, func(t *testing.T) {
			kind := map[int]byte{ipproto.ICMP: byte(ipv4.ICMPTypeDestinationUnreachable),
				ipproto.ICMPv6: byte(ipv6.ICMPTypeDestinationUnreachable)}
			b := append([]byte{kind[row.proto], 1, 0, 0, 0, 0, 0, 0}, row.packet...)
			k, why, ok := readPing(b, netip.MustParseAddr("192.0.2.1"), row.proto)
			dst, _, _ := quotedPayload(row.packet, row.proto)
			got := ok && why != nil && k == pingKey{peer: dst, id: 7, seq: 9}
			if got != row.want {
				t.Errorf("%s: believed %v", name, got)
			}
		})
	}
}
