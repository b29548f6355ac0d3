//go:build !small

package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// policyHeader is the content security policy: what this page loads comes from here, no script
// and style stands in the page itself, and nobody frames it.
const policyHeader = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

var headers = map[string]string{
	"Content-Security-Policy":      policyHeader,
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), microphone=(), geolocation=()",
	"Cache-Control":                "no-store",
}

// guarded refuses what must not come: other names than this page's (DNS rebinding), requests of
// other pages, methods that nobody needs, and floods.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		switch {
		case !s.flood.allow(s.now()):
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests: try again in a second", http.StatusTooManyRequests)
		case !s.knownHost(r.Host):
			http.Error(w, "this page has another name: use an address or localhost, or add the name to "+
				"hosts in [watch] web", http.StatusMisdirectedRequest)
		case !sameOrigin(r):
			http.Error(w, "requests of other pages are refused", http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, "this page is read-only", http.StatusMethodNotAllowed)
		case r.ContentLength > maxBody:
			http.Error(w, "too much", http.StatusRequestEntityTooLarge)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			next.ServeHTTP(w, r)
		}
	})
}

// knownHost reports whether a request is for this page by a name that nobody else can have
// pointed here.
func (s *Server) knownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || slices.Contains(s.Hosts, host)
}

// sameOrigin reports whether a request comes of this page, or of a person; a browser says so by
// Origin and Sec-Fetch-Site (Fetch Metadata).
func sameOrigin(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	// A link from elsewhere may lead here.
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// bucket limits how often something happens: so many at once, and one more after each interval.
type bucket struct {
	size     float64
	interval time.Duration
	lock     chan struct{}
	left     float64
	at       time.Time
}

func newBucket(size int, interval time.Duration) *bucket {
	return &bucket{size: float64(size), interval: interval, lock: make(chan struct{}, 1), left: float64(size)}
}

func (b *bucket) allow(now time.Time) bool {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	if !b.at.IsZero() {
		b.left = min(b.size, b.left+float64(now.Sub(b.at))/float64(b.interval))
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
