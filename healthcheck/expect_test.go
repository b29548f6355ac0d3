package healthcheck

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// expecting probes the second line once, by a check with an expectation.
func (l *lines) expecting(t *testing.T, method, target string, e Expect) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := isp2(method)
	c.Expect = e
	_, err := l.prober.Probe(ctx, c, target)
	return err
}

func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && (err == nil || notProbed(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// A captive portal redirects, or answers with its own page in place of the real one.
func TestCaptivePortals(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	serveHTTP(t, l.far, ":80", false, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "http://login.example/", http.StatusFound)
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/late": // what is beyond the part that is read
			_, _ = io.WriteString(w, strings.Repeat("x", maxBody)+"welcome")
		case "/chunks": // over several writes, without a length
			for range 3 {
				_, _ = io.WriteString(w, strings.Repeat("x", maxBody/4))
				w.(http.Flusher).Flush()
			}
			_, _ = io.WriteString(w, "welcome")
		default:
			_, _ = io.WriteString(w, "<html>log in</html>")
		}
	})
	for _, row := range []struct {
		path   string
		expect Expect
		want   string
	}{
		{"redirect", Expect{}, "302 Found"},
		{"redirect", Expect{Statuses: []int{302}}, ""},
		{"redirect", Expect{Body: "login"}, "302 Found"},
		{"page", Expect{}, ""},
		{"page", Expect{Statuses: []int{204}}, "200 OK"},
		{"page", Expect{Statuses: []int{204, 200}}, ""},
		{"page", Expect{Body: "welcome"}, `does not contain "welcome"`},
		{"page", Expect{Body: "log in"}, ""},
		{"page", Expect{Statuses: []int{204}, Body: "log in"}, "200 OK"},
		{"204", Expect{Statuses: []int{204}}, ""},
		{"204", Expect{Body: "welcome"}, `does not contain "welcome"`},
		{"chunks", Expect{Body: "welcome"}, ""},
		{"late", Expect{Body: "welcome"}, `does not contain "welcome"`},
	} {
		t.Run(fmt.Sprintf("%s %+v", row.path, row.expect), func(t *testing.T) {
			wantError(t, row.path, l.expecting(t, MethodHTTP, "http://192.0.2.80/"+row.path, row.expect), row.want)
		})
	}
}

func TestExpectedAddresses(t *testing.T) {
	t.Parallel()
	l := newLines(t)
	serveDNS(t, l.far, "9.9.9.9", func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		switch q.Question[0].Name {
		case "four.example.":
			if q.Question[0].Qtype == dns.TypeA {
				m.Answer = records(t, "alias.example. 60 IN A 192.0.2.80")
			}
		case "six.example.":
			if q.Question[0].Qtype == dns.TypeAAAA {
				m.Answer = records(t, "six.example. 60 IN AAAA 2001:db8::80")
			}
		case "alias.example.":
			m.Answer = records(t, "alias.example. 60 IN CNAME gone.example.")
		case "broken.example.":
			m.Rcode = dns.RcodeServerFailure
		case ".":
		default:
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	for _, row := range []struct {
		name   string
		expect Expect
		want   string
	}{
		{"any answer", Expect{}, ""},
		{"that the name does not exist is an answer", Expect{Name: "none.example"}, ""},
		{"no address is an answer", Expect{Name: "alias.example"}, ""},
		{"a failure of the server is none", Expect{Name: "broken.example"}, "SERVFAIL"},
		{"an IPv4 address is wanted", Expect{Name: "four.example", Address: true}, ""},
		{"an IPv6 address is as good", Expect{Name: "six.example", Address: true}, ""},
		{"an alias without an address is none", Expect{Name: "alias.example", Address: true}, "no address of alias.example"},
		{"wanted of a name that does not exist", Expect{Name: "none.example", Address: true}, "NXDOMAIN"},
		{"wanted of a server that fails", Expect{Name: "broken.example", Address: true}, "SERVFAIL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantError(t, row.expect.Name, l.expecting(t, MethodDNS, "9.9.9.9", row.expect), row.want)
		})
	}
}
