//go:build !small

package healthcheck

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// certificates are those that https trusts, nil for the system's.
type certificates = *x509.CertPool

// http asks for a URL over a connection of its own: one that was kept would tell of the way that it
// was opened by.
func (p *SocketProber) http(ctx context.Context, c Config, target string) (time.Duration, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return 0, fmt.Errorf("%w: invalid URL %q", ErrNotProbed, target)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotProbed, err)
	}
	request.Header.Set("User-Agent", "pbr")
	request.Close = true
	sent := time.Now()
	conn, err := p.dialHost(ctx, c, u)
	if err != nil {
		return 0, err
	}
	defer drop(conn)
	defer until(ctx, conn)()
	if u.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}, RootCAs: p.roots})
		if err := secure.HandshakeContext(ctx); err != nil {
			return 0, fmt.Errorf("setting up TLS: %w", cause(err))
		}
		conn = secure
	}
	answer, err := get(conn, request)
	if err != nil {
		return 0, err
	}
	if err := c.Expect.status(answer.StatusCode); err != nil {
		return 0, err
	}
	rtt := time.Since(sent)
	if c.Expect.Body == "" {
		return rtt, nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil && len(body) == 0 {
		return 0, fmt.Errorf("reading the answer: %w", cause(err))
	}
	return rtt, c.Expect.body(body)
}

// get sends a request and returns the final answer, whose body is yet to be read.
func get(conn net.Conn, request *http.Request) (*http.Response, error) {
	if err := request.Write(conn); err != nil {
		return nil, fmt.Errorf("asking: %w", cause(err))
	}
	limit := &io.LimitedReader{R: conn, N: maxHeader}
	r := bufio.NewReader(limit)
	for {
		answer, err := http.ReadResponse(r, request)
		if err != nil {
			return nil, fmt.Errorf("waiting for the answer: %w", cause(err))
		}
		if answer.StatusCode >= 200 { // below: more is to come (RFC 9110, 15.2)
			limit.N = 2 * maxBody // with the frames of a chunked one
			return answer, nil
		}
	}
}

// dialHost connects to a URL's host, to its addresses one after the other.
func (p *SocketProber) dialHost(ctx context.Context, c Config, u *url.URL) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	addrs, err := p.resolve(ctx, c, u.Hostname())
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, a := range addrs {
		// No address may use up the time of those that follow.
		try, cancel := share(ctx, len(addrs)-i)
		conn, err := p.dial(try, c, "tcp", net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("connecting to %s: %w", a, cause(err)))
	}
	return nil, errors.Join(errs...)
}

// status returns what is wrong with the status of an http answer. 3xx is not an answer: captive
// portals and expired SIMs redirect everything to their own page.
func (e Expect) status(is int) error {
	if len(e.Statuses) > 0 && slices.Contains(e.Statuses, is) || len(e.Statuses) == 0 && is >= 200 && is <= 299 {
		return nil
	}
	return fmt.Errorf("the server answers %d %s", is, http.StatusText(is))
}

// body returns what is wrong with the body of an http answer.
func (e Expect) body(is []byte) error {
	if bytes.Contains(is, []byte(e.Body)) {
		return nil
	}
	return fmt.Errorf("the answer does not contain %q", e.Body)
}
