//go:build !small

package notify

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pbr/compiler/policy"
)

// What is posted is what the policy says.
func TestRequest(t *testing.T) {
	var got *http.Request
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	to := &policy.Notify{URL: strings.Replace(server.URL, "http://", "http://me:pass@", 1) + "/a%20b?x=1",
		Headers: []policy.Header{{Name: "Title", Value: "pbr"}, {Name: "Host", Value: "other"}}}
	t.Run("JSON is sent as JSON, with the policy's headers, user and host", func(t *testing.T) {
		if err := postHTTP(t.Context(), to, []byte(`{"a": 1}`)); err != nil {
			t.Fatal(err)
		}
		user, password, _ := got.BasicAuth()
		if got.Method != "POST" || got.RequestURI != "/a%20b?x=1" || got.Host != "other" ||
			got.Header.Get("Title") != "pbr" || user != "me" || password != "pass" ||
			got.Header.Get("Content-Type") != "application/json" || got.Header.Get("User-Agent") != "pbr" || body != `{"a": 1}` {
			t.Errorf("%+v %s", got, body)
		}
	})
	t.Run("anything else is text", func(t *testing.T) {
		if err := postHTTP(t.Context(), to, []byte("isp1 is down")); err != nil ||
			got.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%v, %s", err, got.Header)
		}
	})
	t.Run("a type that the policy names", func(t *testing.T) {
		to.Headers = []policy.Header{{Name: "Content-Type", Value: "x/y"}}
		if err := postHTTP(t.Context(), to, []byte("isp1 is down")); err != nil || got.Header.Get("Content-Type") != "x/y" {
			t.Errorf("%v, %s", err, got.Header)
		}
	})
}

// Every way to fail is told apart, and no error has a part of the URL's path, of the query, or of a
// header.
func TestFailures(t *testing.T) {
	answers := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	secure := httptest.NewTLSServer(nil)
	defer secure.Close()
	var way *wayError
	var refused *serverError
	var answered *answerError
	for _, row := range []struct {
		name  string
		url   string
		kind  any
		words string
	}{
		{"the server refuses it", answers(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no chat of "+r.RequestURI+" "+r.Header.Get("Authorization"), http.StatusBadRequest)
		}), &answered, "400 Bad Request no chat of ***"},
		{"the server sends it elsewhere", answers(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		}), &answered, "307 Temporary Redirect"},
		{"the server hangs up", answers(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }),
			&answered, "no answer: "},
		{"nobody listens", "http://" + closed.Addr().String(), &refused, "connection refused"},
		{"a certificate that nobody knows", secure.URL, &refused, "certificate"},
		{"no TLS there", strings.Replace(answers(nil), "http:", "https:", 1), &refused, "HTTP response to HTTPS client"},
		{"no route leads there", "http://255.255.255.255", &way, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			to := &policy.Notify{URL: row.url + "/bot12345:SECRET/send?token=SECRET",
				Headers: []policy.Header{{Name: "Authorization", Value: "Bearer SECRET"}}}
			err := postHTTP(t.Context(), to, nil)
			if err == nil || !errors.As(err, row.kind) || !strings.Contains(err.Error(), row.words) {
				t.Errorf("%s: %T %v", row.url, err, err)
			}
			if err != nil && (strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "12345")) {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "9999": maxAsked, "-1": 0,
		"Wed, 21 Oct 2026 07:28:00 GMT": 0} {
		t.Run(header, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(http.StatusTooManyRequests)
			}))
			var answer *answerError
			if err := postHTTP(t.Context(), &policy.Notify{URL: s.URL}, nil); !errors.As(err, &answer) || answer.after != want {
				t.Errorf("%s: %v", header, err)
			}
			s.Close()
		})
	}
}
