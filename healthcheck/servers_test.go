package healthcheck

import (
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/miekg/dns"

	"pbr/integration/lab"
)

// listen opens a TCP listener on all addresses of a host.
func listen(t testing.TB, h *lab.Host, address string) net.Listener {
	t.Helper()
	var l net.Listener
	var err error
	h.Do(func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serveTCP accepts connections and does nothing with them.
func serveTCP(t testing.TB, h *lab.Host, address string) {
	l := listen(t, h, address)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
}

// serveDNS answers DNS over UDP on port 53 of a host's address as f says; f may write any number of
// answers.
func serveDNS(t testing.TB, h *lab.Host, address string, f func(w dns.ResponseWriter, q *dns.Msg)) {
	t.Helper()
	var conn net.PacketConn
	var err error
	h.Do(func() { conn, err = net.ListenPacket("udp", net.JoinHostPort(address, "53")) })
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(f)}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = conn.Close() })
}

// serveHTTP serves on a port of all of a host's addresses. With tls it returns the certificates to
// trust; the names are example.com and 127.0.0.1.
func serveHTTP(t testing.TB, h *lab.Host, address string, tls bool, f http.HandlerFunc) *x509.CertPool {
	t.Helper()
	l := listen(t, h, address)
	s := httptest.NewUnstartedServer(f)
	_ = s.Listener.Close()
	s.Listener = l
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	if !tls {
		s.Start()
		return nil
	}
	s.StartTLS()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}
