package sources

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"pbr/compiler/policy"
)

const (
	// firstRetry is how long after a failure a URL is asked again, at most its refresh; the time
	// doubles up to lastRetry.
	firstRetry = 10 * time.Second
	lastRetry  = time.Hour
	// atOnce is how many URLs are asked at the same time.
	atOnce = 4
)

// Source is a URL of a list.
type Source struct {
	List string
	URL  policy.URLSource
}

// Of returns the URLs of a policy's lists, in the file's order.
func Of(doc *policy.Document) (out []Source) {
	for i := range doc.Lists {
		l := &doc.Lists[i]
		for j := range l.Sources {
			if s := &l.Sources[j]; s.Kind == policy.FromURL {
				out = append(out, Source{l.Name, s.URL})
			}
		}
	}
	return out
}

// URLs fetches the texts of URLs when it is time.
type URLs struct {
	fetcher *Fetcher
	log     *slog.Logger
	follow  chan []Source
	changed chan struct{}
}

// WatchURLs begins to fetch URLs, until ctx ends: first none.
func WatchURLs(ctx context.Context, fetcher *Fetcher, log *slog.Logger) *URLs {
	u := &URLs{fetcher: fetcher, log: log, follow: make(chan []Source), changed: make(chan struct{}, 1)}
	go u.run(ctx)
	return u
}

// Follow says which URLs are fetched from now on.
func (u *URLs) Follow(ctx context.Context, list []Source) {
	select {
	case u.follow <- list:
	case <-ctx.Done():
	}
}

// Changed means that the cache has another text.
func (u *URLs) Changed() <-chan struct{} { return u.changed }

// fetched is the end of one fetch.
type fetched struct {
	source Source
	result Result
	err    error
}

func (u *URLs) run(ctx context.Context) {
	var list []Source
	busy, told, asked := map[string]bool{}, map[string]string{}, map[string]time.Time{}
	done := make(chan fetched)
	timer := time.NewTimer(0)
	for {
		next := time.Hour
		for _, s := range list {
			if busy[s.URL.URL] {
				continue
			}
			now := u.fetcher.Now()
			// Where nothing can be noted, a URL is not asked all the time.
			wait := max(Due(u.fetcher.Cache.Note(s.URL.URL), &s.URL, now), min(firstRetry, s.URL.Refresh)-now.Sub(asked[s.URL.URL]).Abs())
			if wait > 0 || len(busy) >= atOnce {
				next = min(next, max(wait, firstRetry/100))
				continue
			}
			busy[s.URL.URL], asked[s.URL.URL] = true, now
			go func() {
				res, err := u.fetcher.Fetch(ctx, &s.URL, false)
				select {
				case done <- fetched{s, res, err}:
				case <-ctx.Done():
				}
			}()
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case list = <-u.follow:
		case <-timer.C:
		case f := <-done:
			delete(busy, f.source.URL.URL)
			u.tell(f, told)
			if f.err == nil && f.result.Changed {
				select {
				case u.changed <- struct{}{}:
				default: // it is to be reported already
				}
			}
		}
	}
}

// Due is how long from now a URL is to be fetched; 0 or less: now.
func Due(note Note, src *policy.URLSource, now time.Time) time.Duration {
	if note.Failures > 0 {
		retry := min(firstRetry<<min(note.Failures-1, 16), lastRetry, src.Refresh)
		return retry - min(now.Sub(note.Asked), retry)
	}
	if note.Checked.IsZero() || !src.Fetched {
		return 0
	}
	since := now.Sub(note.Checked)
	if since < 0 {
		return 0 // the clock was set back
	}
	return src.Refresh - since
}

// tell logs what was fetched; a failure once as long as its reason is the same.
func (u *URLs) tell(f fetched, told map[string]string) {
	url := f.source.URL.URL
	if f.err != nil && !errors.Is(f.err, context.Canceled) {
		if told[url] != f.err.Error() {
			u.log.Warn("list "+f.source.List+": fetching "+url+" failed, and the last good text stays", "list",
				f.source.List, "error", f.err, "entries", f.result.Entries)
		}
		told[url] = f.err.Error()
		return
	}
	if told[url] != "" {
		delete(told, url)
		u.log.Info("list "+f.source.List+": "+url+" can be fetched again", "list", f.source.List)
	}
	if f.result.Changed {
		u.log.Info("list "+f.source.List+": fetched "+url, "list", f.source.List, "entries", f.result.Entries,
			"before", f.result.Before, "skipped", f.result.Skipped)
	}
}
