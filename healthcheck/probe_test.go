package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pbr/integration/steps"
)

// countScript counts what leaves the router: by the second line with its mark, by it without, and
// by the first line. ICMPv6 neighbour discovery and resets for connections that are over are the
// kernel's and not counted; ARP is not seen here.
const countScript = `table inet count {
	chain out {
		type filter hook output priority 0;
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld2-listener-report } return
		tcp flags & rst == rst return
		oifname "wan2" meta mark 0x02000000 counter comment "marked"
		oifname "wan2" meta mark != 0x02000000 counter comment "unmarked"
		oifname "wan1" counter comment "other line"
	}
}
`

func TestEachMethodMeasuresItsUplinkAlone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ method, target string }{
		{MethodPing, "198.51.100.1"},
		{MethodPing, "8.8.8.8"},
		{MethodPing, "192.0.2.1"}, // the other line's gateway, beyond this line
		{MethodPing, "2001:db8:f2::1"},
		{MethodPing, "2001:4860:4860::8888"},
		{MethodPing, "fe80::1"},
		{MethodPing, "fe80::1%wan2"},
		{MethodTCP, "1.1.1.1:443"},
		{MethodTCP, "[2606:4700::1111]:443"},
		{MethodTCP, "[fe80::1]:443"},
		{MethodTCP, "1.1.1.1:444"}, // refused: the line works
		{MethodDNS, "9.9.9.9"},
		{MethodDNS, "9.9.9.9:53"},
		{MethodDNS, "2620:fe::fe"},
		{MethodDNS, "[2620:fe::fe]:53"},
		{MethodHTTP, "http://192.0.2.80/"},
		{MethodHTTP, "http://[2001:db8::80]:80/path?query"},
	} {
		t.Run(row.method+" "+row.target, func(t *testing.T) {
			t.Parallel()
			l := newLines(t)
			l.far.IP("addr add fe80::1/64 dev up0 nodad")
			serveTCP(t, l.far, ":443")
			serveDNS(t, l.far, "", func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetReply(q)) })
			serveHTTP(t, l.far, ":80", false, func(http.ResponseWriter, *http.Request) {})
			l.router.NFT(countScript)
			// A probe is one packet: the first may be lost while addresses and neighbours settle.
			rtt, err := l.probeAgain(t, isp2(row.method), row.target)
			if err != nil || rtt <= 0 || rtt > patience {
				t.Errorf("round trip %v, %v", rtt, err)
			}
			n := counted(l.router)
			if n["marked"] == 0 || n["unmarked"] != 0 || n["other line"] != 0 {
				t.Errorf("packets: %v", n)
			}
		})
	}
}

// probeAgain probes until there is an answer, a second each, for as long as patience lasts.
func (l *lines) probeAgain(t *testing.T, c Config, target string) (rtt time.Duration, err error) {
	for began := time.Now(); time.Since(began) < patience; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		rtt, err = l.prober.Probe(ctx, c, target)
		cancel()
		if err == nil {
			return rtt, nil
		}
	}
	return rtt, err
}

func TestNeighbourProbes(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	l.far.IP("addr add fe80::1/64 dev up0 nodad")
	for _, target := range []string{"198.51.100.1", "2001:db8:f2::1", "fe80::1"} {
		t.Run(target, func(t *testing.T) {
			l.wantAnswer(t, MethodARP, target)
		})
	}
	t.Run("an address that is not on the line is silent", func(t *testing.T) {
		// The far end has every address, but only these on the line.
		l.wantSilence(t, MethodARP, "198.51.100.77")
		l.wantSilence(t, MethodARP, "2001:db8:f2::77")
	})
	t.Run("where no route tells an address to ask from, it is 0.0.0.0", func(t *testing.T) {
		l.router.IP("route replace unreachable default table 102", "route add unreachable 198.51.100.1 table 102")
		l.wantAnswer(t, MethodARP, "198.51.100.1")
	})
}

func TestDeadTargetsTimeOut(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	// Targets answer first, so that what is proven is their death.
	serveTCP(t, l.far, ":443")
	serveDNS(t, l.far, "", func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetReply(q)) })
	serveHTTP(t, l.far, ":80", false, func(http.ResponseWriter, *http.Request) {})
	rows := []struct{ method, target string }{
		{MethodPing, "8.8.8.8"}, {MethodPing, "2001:4860:4860::8888"},
		{MethodARP, "198.51.100.1"}, {MethodARP, "2001:db8:f2::1"},
		{MethodTCP, "1.1.1.1:443"}, {MethodTCP, "[2606:4700::1111]:443"},
		{MethodDNS, "9.9.9.9"}, {MethodDNS, "2620:fe::fe"},
		{MethodHTTP, "http://192.0.2.80/"}, {MethodHTTP, "http://[2001:db8::80]/"},
	}
	for _, row := range rows {
		t.Run(row.method+" "+row.target+" answers", func(t *testing.T) {
			l.wantAnswer(t, row.method, row.target)
		})
	}
	l.far.NFT(`table inet deaf {
	chain in {
		type filter hook input priority 0; policy drop
	}
}
table arp deaf {
	chain in {
		type filter hook input priority 0; policy drop
	}
}
`)
	for _, row := range rows {
		t.Run(row.method+" "+row.target+" is dead", func(t *testing.T) {
			l.wantSilence(t, row.method, row.target)
		})
	}
	l.far.NFT("delete table inet deaf\ndelete table arp deaf\n")
	for _, row := range rows {
		t.Run(row.method+" "+row.target+" answers again", func(t *testing.T) {
			l.wantAnswer(t, row.method, row.target)
		})
	}
}

func TestUnreachableSaysSo(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	l.far.NFT(`table inet wall {
	chain in {
		type filter hook input priority 0
		ip daddr 8.8.8.8 reject with icmp type host-unreachable
		ip6 daddr 2001:db8::8 reject with icmpv6 type no-route
	}
}
`)
	for _, row := range []struct{ method, target, want string }{
		{MethodPing, "8.8.8.8", "8.8.8.8 says: destination unreachable"},
		{MethodPing, "2001:db8::8", "says: destination unreachable"},
		{MethodTCP, "8.8.8.8:443", "no route to host"},
	} {
		t.Run(row.method+" "+row.target, func(t *testing.T) {
			// Errors of ICMP are rate-limited (icmp_ratelimit, ip-sysctl.rst): one may be missing.
			var err error
			for range 5 {
				err = l.probe(row.method, row.target, time.Second)
				if !errors.Is(err, context.DeadlineExceeded) {
					break
				}
			}
			if err == nil || notProbed(err) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s %s: %v, want %q", row.method, row.target, err, row.want)
			}
		})
	}
}

func TestHTTPStatus(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	serveHTTP(t, l.far, ":80", false, func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status) // 103 is followed by 200
	})
	roots := serveHTTP(t, l.far, ":443", true, func(http.ResponseWriter, *http.Request) {})
	serveTCP(t, l.far, ":81") // closes without a word
	for _, row := range []struct {
		target string
		good   bool
		want   string
	}{
		{"http://192.0.2.80/200", true, ""},
		{"http://192.0.2.80/103", true, ""},
		{"http://192.0.2.80/204", true, ""},
		{"http://192.0.2.80/302", false, "302 Found"},
		{"http://192.0.2.80/404", false, "404 Not Found"},
		{"http://192.0.2.80/500", false, "500 Internal Server Error"},
		{"http://192.0.2.80:81/", false, ""},
		{"https://192.0.2.80/", false, "certificate"},
	} {
		t.Run(row.target, func(t *testing.T) {
			err := l.probe(MethodHTTP, row.target, patience)
			if (err == nil) != row.good || notProbed(err) || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s: %v", row.target, err)
			}
		})
	}
	t.Run("a certificate of the name, by a known authority", func(t *testing.T) {
		// The certificate is of example.com: the name is looked up in advance here.
		l.prober.roots = roots
		l.prober.names[nameKey{"isp2", "example.com"}] = resolved{addrs: []netip.Addr{netip.MustParseAddr("192.0.2.80")}, at: time.Now()}
		l.wantAnswer(t, MethodHTTP, "https://example.com/")
	})
	t.Run("a certificate of another name", func(t *testing.T) {
		l.prober.names[nameKey{"isp2", "example.org"}] = l.prober.names[nameKey{"isp2", "example.com"}]
		if err := l.probe(MethodHTTP, "https://example.org/", patience); err == nil || !strings.Contains(err.Error(), "example.org") {
			t.Errorf("another's certificate: %v", err)
		}
	})
}

func TestHTTPTriesAllAddressesOfAName(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	serveHTTP(t, l.far, ":80", false, func(http.ResponseWriter, *http.Request) {})
	l.far.NFT(`table inet deaf {
	chain in {
		type filter hook input priority 0
		ip daddr 192.0.2.80 drop
	}
}
`)
	l.prober.names[nameKey{"isp2", "example.com"}] = resolved{at: time.Now(),
		addrs: []netip.Addr{netip.MustParseAddr("192.0.2.80"), netip.MustParseAddr("2001:db8::80")}}
	l.wantAnswerWithin(t, 2*time.Second, MethodHTTP, "http://example.com/")
}

func TestNamesAreAskedForThroughTheUplink(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	serveHTTP(t, l.far, ":80", false, func(http.ResponseWriter, *http.Request) {})
	l.prober.resolvConf = filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(l.prober.resolvConf, []byte("nameserver 9.9.9.8\nnameserver 9.9.9.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The first name server is dead; the second knows one name.
	serveDNS(t, l.far, "9.9.9.9", func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		switch q.Question[0] {
		case dns.Question{Name: "known.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET}:
			m.Answer = records(t, "known.example. 60 IN CNAME real.example.", "real.example. 60 IN A 192.0.2.80")
		case dns.Question{Name: "known.example.", Qtype: dns.TypeAAAA, Qclass: dns.ClassINET}:
			m.Answer = records(t, "known.example. 60 IN AAAA 2001:db8::80")
		default:
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	l.far.NFT(`table inet deaf {
	chain in {
		type filter hook input priority 0
		ip daddr 9.9.9.8 drop
	}
}
`)
	l.router.NFT(countScript)
	step := steps.Of(t)
	want := []netip.Addr{netip.MustParseAddr("192.0.2.80"), netip.MustParseAddr("2001:db8::80")}
	step.Run("the questions leave through the uplink", func(t *testing.T) {
		l.wantAnswerWithin(t, 2*time.Second, MethodHTTP, "http://known.example/")
		if n := counted(l.router); n["marked"] == 0 || n["unmarked"] != 0 || n["other line"] != 0 {
			t.Errorf("packets: %v", n)
		}
	})
	step.Run("both versions are asked for, and aliases followed", func(t *testing.T) {
		if got := l.prober.names[nameKey{"isp2", "known.example"}].addrs; !slices.Equal(got, want) {
			t.Errorf("addresses %v", got)
		}
	})
	step.Run("a name that does not exist is a failure", func(t *testing.T) {
		err := l.probe(MethodHTTP, "http://unknown.example/", 2*time.Second)
		if err == nil || notProbed(err) || !strings.Contains(err.Error(), "looking up unknown.example") {
			t.Errorf("an unknown name: %v", err)
		}
	})

	step.Run("while no name server answers, what was known long ago is used", func(t *testing.T) {
		l.far.NFT("add rule inet deaf in udp dport 53 drop\n")
		l.prober.names[nameKey{"isp2", "known.example"}] = resolved{addrs: want, at: time.Now().Add(-24 * time.Hour)}
		l.wantAnswerWithin(t, 2*time.Second, MethodHTTP, "http://known.example/")
		l.prober.Release("isp2")
		l.wantSilence(t, MethodHTTP, "http://known.example/")
	})
}

func records(t *testing.T, lines ...string) []dns.RR {
	var out []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Error(err)
		}
		out = append(out, rr)
	}
	return out
}

func TestWhatCannotBeProbed(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	gone := isp2(MethodPing)
	gone.Interface = "nowhere0"
	loop := isp2(MethodARP)
	loop.Interface = "lo"
	for _, row := range []struct {
		c      Config
		target string
	}{
		{isp2(MethodPing), "example.com"}, {isp2(MethodARP), ""}, {isp2(MethodTCP), "1.1.1.1"}, {isp2(MethodTCP), "1.1.1.1:0"},
		{isp2(MethodDNS), "x"}, {isp2(MethodHTTP), "gopher://x/"}, {isp2(MethodHTTP), "http:///"}, {isp2(MethodHTTP), ":"},
		{isp2("magic"), "192.0.2.1"}, {gone, "192.0.2.1"}, {gone, "2001:db8::1"}, {loop, "127.0.0.1"},
	} {
		if _, err := l.prober.Probe(t.Context(), row.c, row.target); !errors.Is(err, ErrNotProbed) {
			t.Errorf("%s %s on %s: %v", row.c.Method, row.target, row.c.Interface, err)
		}
	}
	for _, method := range []string{MethodTCP, MethodDNS, MethodHTTP, MethodARP} {
		t.Run(method, func(t *testing.T) {
			c := gone
			c.Method = method
			target := map[string]string{MethodTCP: "1.1.1.1:1", MethodDNS: "1.1.1.1", MethodHTTP: "http://1.1.1.1/",
				MethodARP: "1.1.1.1"}[method]
			if _, err := l.prober.Probe(t.Context(), c, target); !errors.Is(err, ErrNotProbed) {
				t.Errorf("%s on an interface that is not there: %v", method, err)
			}
		})
	}
}

func TestSocketsFollowTheInterface(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	all := func(t *testing.T, want bool) {
		t.Helper()
		for _, row := range []struct{ method, target string }{
			{MethodPing, "198.51.100.1"}, {MethodPing, "2001:db8:f2::1"}, {MethodARP, "198.51.100.1"}, {MethodARP, "2001:db8:f2::1"},
		} {
			var err error
			if want {
				_, err = l.probeAgain(t, isp2(row.method), row.target)
			} else {
				err = l.probe(row.method, row.target, patience)
			}
			if want && err != nil || !want && !errors.Is(err, ErrNotProbed) {
				t.Errorf("%s %s: %v", row.method, row.target, err)
			}
		}
	}
	step := steps.Of(t)
	step.Run("while it is there", func(t *testing.T) {
		all(t, true)
	})
	step.Run("when it is deleted", func(t *testing.T) {
		l.router.IP("link del wan2")
		all(t, false)
	})
	step.Run("when another one has its name", func(t *testing.T) {
		l.Veth(l.router, "wan2", l.far, "up0")
		l.router.IP("addr add 198.51.100.2/24 dev wan2", "addr add 2001:db8:f2::2/64 dev wan2")
		l.far.IP("addr add 198.51.100.1/24 dev up0", "addr add 2001:db8:f2::1/64 dev up0")
		all(t, true)
	})
	step.Run("when it was down", func(t *testing.T) {
		l.router.IP("link set wan2 down", "link set wan2 up", "addr replace 2001:db8:f2::2/64 dev wan2")
		all(t, true)
	})
}
