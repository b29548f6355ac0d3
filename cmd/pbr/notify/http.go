//go:build !small

package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"pbr/compiler/policy"
)

const (
	// postLimit bounds a try, looking up and connecting included.
	postLimit = 10 * time.Second
	// maxHeader and maxSaid bound what is read of an answer.
	maxHeader = 64 << 10
	maxSaid   = 200
)

// client sends each message over a connection of its own: one that was kept would tell of the way
// that it was opened by. Nothing ties it to an uplink. Redirections are answers like others.
var client = &http.Client{
	Transport: &http.Transport{
		DialContext:       (&net.Dialer{Timeout: connectLimit, Resolver: &net.Resolver{PreferGo: true}}).DialContext,
		DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// postHTTP posts a text. Its errors tell what can be done about them, and hold none of the target's
// secrets.
func postHTTP(ctx context.Context, to *policy.Notify, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, postLimit)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx,
		&httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { sent.Store(i.Err == nil) }})
	request, err := newRequest(ctx, to, body)
	if err != nil {
		return &serverError{errors.New("the URL cannot be used")} // the policy was checked: never
	}
	answer, err := client.Do(request)
	if err != nil {
		return failure(redacted(to, err), sent.Load())
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 == 2 {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxSaid))
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	text := strings.TrimSpace(answer.Status + " " + strings.Join(strings.Fields(string(said)), " "))
	return &answerError{redacted(to, errors.New(server(to)+" answers "+text)),
		time.Duration(min(max(seconds, 0), int(maxAsked/time.Second))) * time.Second}
}

func newRequest(ctx context.Context, to *policy.Notify, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.GetBody = nil // so that the transport sends nothing twice
	request.Header.Set("User-Agent", "pbr")
	request.Header.Set("Content-Type", contentType(body))
	for _, h := range to.Headers {
		request.Header.Set(h.Name, h.Value)
		if h.Name == "Host" {
			request.Host = h.Value
		}
	}
	return request, nil
}

// contentType is that of JSON for an object or a list, else that of text.
func contentType(body []byte) string {
	if b := bytes.TrimSpace(body); len(b) > 0 && (b[0] == '{' || b[0] == '[') && json.Valid(b) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// failure returns what kind of error kept a message from being answered.
func failure(err error, sent bool) error {
	var unknown *net.DNSError
	var certificate *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	switch {
	case sent:
		return &answerError{error: fmt.Errorf("no answer: %w", err)}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &certificate),
		errors.As(err, &noTLS), errors.As(err, &unknown) && unknown.IsNotFound:
		return &serverError{err}
	}
	return &wayError{err}
}

// server is the part of a target's URL that is not a secret.
func server(to *policy.Notify) string {
	u, err := url.Parse(to.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// redacted is an error whose text has none of a target's secrets; what it wraps stays as it is, for
// whoever asks what it is.
func redacted(to *policy.Notify, err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	text := err.Error()
	byLength := func(a, b string) int { return len(b) - len(a) } // so that the whole goes before its parts
	for _, secret := range slices.SortedFunc(slices.Values(secrets(to)), byLength) {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return &redactedError{text, err}
}

type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }

// secrets are the parts of a target that nobody else is to see.
func secrets(to *policy.Notify) (out []string) {
	for _, h := range to.Headers {
		out = append(out, h.Value)
		out = append(out, strings.Fields(h.Value)...)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		return append(out, to.URL)
	}
	password, _ := u.User.Password()
	out = append(out, password, u.User.Username(), u.Path, u.RawQuery)
	out = append(out, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		out = append(out, values...)
	}
	return out
}
