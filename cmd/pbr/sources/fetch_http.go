//go:build !small

package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// fetchLimit is how long fetching a text may take in all, and maxText how many bytes it may
	// have, unpacked.
	fetchLimit = 10 * time.Second
	maxText    = 64 << 20
	// maxRedirects bounds how often a server may send elsewhere.
	maxRedirects = 5
)

func (f *Fetcher) get(ctx context.Context, from string, note Note) (*answer, error) {
	limit := f.limit
	if limit == 0 {
		limit = fetchLimit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no whole answer within %s", limit))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", f.Agent)
	if note.ETag != "" {
		req.Header.Set("If-None-Match", note.ETag)
	}
	if note.LastModified != "" {
		req.Header.Set("If-Modified-Since", note.LastModified)
	}
	// No connection is kept: the next fetch may have to take another way.
	client := &http.Client{CheckRedirect: redirect, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, plain(ctx, err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && (note.ETag != "" || note.LastModified != ""):
		return &answer{}, nil
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server answered %s", res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxText+1))
	switch {
	case err != nil:
		return nil, plain(ctx, err)
	case len(text) > maxText:
		return nil, fmt.Errorf("the answer is larger than %d MiB", maxText>>20)
	case text == nil:
		text = []byte{}
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return &answer{text, res.Header.Get("ETag"), res.Header.Get("Last-Modified"), kind == "text/html"}, nil
}

// redirect follows a few redirections to other URLs of lists.
func redirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirections", maxRedirects)
	case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("a redirection from https to http")
	}
	return nil
}

// plain is an error without the URL, which whoever tells it names, and with the reason for a
// time-out.
func plain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.DeadlineExceeded) {
		return cause
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	return errors.New(strings.TrimPrefix(err.Error(), "http: "))
}
