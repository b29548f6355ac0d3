package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"pbr/compiler/ipproto"
)

// An answer that is right in everything but the interface that it comes by is none: whoever is
// behind one uplink could otherwise answer for another.
func TestPingBelievesOnlyItsInterface(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	other := l.ISPs["isp1"]
	l.far.Sysctl("net/ipv4/icmp_echo_ignore_all", "1")
	l.far.Sysctl("net/ipv6/icmp/echo_ignore_all", "1")
	for _, dev := range []string{"all", "wan1"} {
		l.router.Sysctl("net/ipv4/conf/"+dev+"/rp_filter", "0")
	}
	l.router.NFT(`table inet count {
	chain in {
		type filter hook input priority 0
		iifname "wan1" icmp type echo-reply counter comment "ip4:1"
		iifname "wan1" icmpv6 type echo-reply counter comment "ip6:58"
	}
}
`)
	for _, row := range []struct {
		network, target, router, via string
		proto                        int
		answer                       icmp.Type
	}{
		{"ip4:1", "8.8.8.8", "198.51.100.2", "192.0.2.2", ipproto.ICMP, ipv4.ICMPTypeEchoReply},
		{"ip6:58", "2001:db8::8", "2001:db8:f2::2", "2001:db8:f1::2", ipproto.ICMPv6, ipv6.ICMPTypeEchoReply},
	} {
		t.Run(row.network, func(t *testing.T) {
			if row.proto == ipproto.ICMP {
				other.IP(fmt.Sprintf("route replace %s/32 via %s", row.router, row.via))
			} else {
				other.IP6(fmt.Sprintf("route replace %s/128 via %s", row.router, row.via))
			}
			var in, out net.PacketConn
			var err, err2 error
			l.far.Do(func() { in, err = net.ListenPacket(row.network, "") })
			other.Do(func() { out, err2 = net.ListenPacket(row.network, row.target) })
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			defer out.Close()
			go func() {
				buf := make([]byte, 2048)
				for {
					n, peer, err := in.ReadFrom(buf)
					if err != nil {
						return
					}
					if m, err := icmp.ParseMessage(row.proto, buf[:n]); err == nil {
						if echo, ok := m.Body.(*icmp.Echo); ok {
							b, _ := (&icmp.Message{Type: row.answer, Body: echo}).Marshal(nil)
							_, _ = out.WriteTo(b, peer)
						}
					}
				}
			}()
			for began := time.Now(); counted(l.router)[row.network] == 0; l.wantSilence(t, MethodPing, row.target) {
				if time.Since(began) > patience {
					t.Fatal("no answer came by the other interface")
				}
			}
		})
	}
}

// A batch has probes of several uplinks. Each ends once: with its answer, with its error, or when
// its time is over. Those of an uplink that was released end no more.
func TestBatch(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	l.wantAnswer(t, MethodPing, "198.51.100.1") // what has to settle has
	l.wantAnswer(t, MethodPing, "2001:db8:f2::1")
	l.far.NFT("table inet deaf {\nchain in {\ntype filter hook input priority 0\nip daddr { 8.8.8.8, 8.8.4.4 } drop\n}\n}\n")
	one, two, gone, left := isp2(MethodPing), isp2(MethodPing), isp2(MethodPing), isp2(MethodPing)
	one.Uplink, gone.Uplink, left.Uplink = "isp1", "gone", "left"
	one.Interface, one.Mark, gone.Interface = "wan1", mark1, "nowhere0"
	type end struct {
		rtt time.Duration
		err error
	}
	var mu sync.Mutex
	ends := map[string][]end{}
	probe := func(name string, c *Config, target string, limit time.Duration) BatchProbe {
		return BatchProbe{Config: c, Target: target, Until: time.Now().Add(limit), Ended: func(rtt time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			ends[name] = append(ends[name], end{rtt, err})
		}}
	}
	l.prober.Batch([]BatchProbe{
		probe("isp1", &one, "192.0.2.1", patience),
		probe("isp2", &two, "198.51.100.1", patience),
		probe("isp2, IPv6", &two, "2001:db8:f2::1", patience),
		probe("silent", &two, "8.8.8.8", impatience),
		probe("no interface", &gone, "198.51.100.1", patience),
		probe("no address", &two, "example.com", patience),
		probe("released", &left, "8.8.4.4", impatience),
	})
	l.prober.Release("left")
	want := map[string]error{"isp1": nil, "isp2": nil, "isp2, IPv6": nil, "silent": context.DeadlineExceeded, "no interface": ErrNotProbed,
		"no address": ErrNotProbed}
	done := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(ends) >= len(want)
	}
	for began := time.Now(); !done() && time.Since(began) < patience; {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(2 * impatience) // nothing may end twice, nor the one that was released
	mu.Lock()
	defer mu.Unlock()
	for name, err := range want {
		if got := ends[name]; len(got) != 1 || !errors.Is(got[0].err, err) || err == nil && (got[0].rtt <= 0 || got[0].rtt > patience) {
			t.Errorf("%s: ended as %v, want once with %v", name, got, err)
		}
	}
	if got := ends["released"]; len(got) > 0 {
		t.Errorf("a probe of an uplink that was released ended: %v", got)
	}
	for _, uplink := range []string{"isp1", "isp2", "gone"} {
		l.prober.Release(uplink)
	}
	p := l.prober.pings
	open := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.sockets) + len(p.awaited) + len(p.uplinks)
	}
	for began := time.Now(); open() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("without uplinks there are %d sockets, uplinks and awaited answers", open())
		}
	}
}
