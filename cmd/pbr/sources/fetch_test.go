//go:build !small

package sources

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pbr/compiler/policy"
	"pbr/kernel/state"
)

// cache is one of the test's own.
func cache(t *testing.T) Cache {
	t.Helper()
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	return Open(state.Find(t.TempDir()))
}

func text(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "10.0.%d.%d\n", i/250, i%250)
	}
	return b.String()
}

// TestFetch takes a text once, asks whether it is still the one, and holds an answer back that
// shrinks the list by more than half.
func TestFetch(t *testing.T) {
	var body atomic.Value
	body.Store(text(10))
	conditional := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf("%q", fmt.Sprint(len(body.Load().(string))))
		if r.Header.Get("If-None-Match") == tag && r.Header.Get("If-Modified-Since") == "yesterday" {
			conditional++
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", tag)
		w.Header().Set("Last-Modified", "yesterday")
		_, _ = w.Write([]byte(body.Load().(string)))
	}))
	defer server.Close()
	f := &Fetcher{Cache: cache(t), Now: time.Now}
	src := &policy.URLSource{URL: server.URL, Refresh: time.Hour}
	for _, step := range []struct {
		name    string
		entries int
		force   bool
		changed bool
		kept    int
		shrinks bool
	}{
		{"the first", 10, false, true, 10, false}, {"nothing new", 10, false, false, 10, false},
		{"half of it is gone", 5, false, true, 5, false}, {"more than half is gone: held back", 2, false, false, 5, true},
		{"held back again", 2, false, false, 5, true}, {"forced", 2, true, true, 2, false}, {"any growth", 300, false, true, 300, false},
	} {
		t.Run(step.name, func(t *testing.T) {
			body.Store(text(step.entries))
			res, err := f.Fetch(t.Context(), src, step.force)
			var shrunk *ShrunkError
			if errors.As(err, &shrunk) != step.shrinks || err != nil && !step.shrinks || res.Changed != step.changed ||
				res.Entries != step.kept {
				t.Errorf("%+v: %+v, %v", step, res, err)
			}
			if n := f.Cache.Note(src.URL); n.Entries != step.kept || (n.Withheld == 2) != step.shrinks || (n.Error != "") != step.shrinks {
				t.Errorf("%+v: the note is %+v", step, n)
			}
			if kept, _, _ := policy.ParseFetched(f.Cache.text(src.URL)); len(kept) != step.kept {
				t.Errorf("%+v: %d entries are kept", step, len(kept))
			}
		})
	}
	t.Run("what is known is asked for by its tag", func(t *testing.T) {
		if conditional != 1 {
			t.Errorf("%d conditional requests were answered so, want 1", conditional)
		}
	})
	t.Run("removal leaves nothing", func(t *testing.T) {
		if err := f.Cache.Remove(); err != nil || f.Cache.text(src.URL) != nil {
			t.Errorf("after removal: %v", err)
		}
	})
}

// TestFetchEnds gives up on a server that does not answer, or answers drop by drop.
func TestFetchEnds(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.URL.Path == "/drops" {
			_, err := w.Write([]byte("10.0.0.1\n"))
			w.(http.Flusher).Flush()
			select {
			case <-time.After(5 * time.Millisecond):
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
		<-stop
	}))
	defer server.Close()
	defer close(stop)
	f := &Fetcher{Cache: cache(t), Now: time.Now, limit: 100 * time.Millisecond}
	for _, path := range []string{"/silent", "/drops"} {
		t.Run(path, func(t *testing.T) {
			src := &policy.URLSource{URL: server.URL + path, Refresh: time.Hour}
			if _, err := f.Fetch(t.Context(), src, false); err == nil || !strings.Contains(err.Error(), "no whole answer within 100ms") {
				t.Errorf("%s: %v", path, err)
			}
			if n := f.Cache.Note(src.URL); n.Failures != 1 || n.Failed.IsZero() {
				t.Errorf("%s: %+v", path, n)
			}
		})
	}
}

func TestDue(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	src := &policy.URLSource{Refresh: 24 * time.Hour, Fetched: true}
	quick := &policy.URLSource{Refresh: time.Second, Fetched: true}
	for name, c := range map[string]struct {
		note Note
		src  *policy.URLSource
		want time.Duration
	}{
		"never asked":          {Note{}, src, 0},
		"text is not wanted":   {Note{Checked: ago(time.Minute)}, &policy.URLSource{Refresh: time.Hour}, 0},
		"an hour ago":          {Note{Checked: ago(time.Hour)}, src, 23 * time.Hour},
		"clock was set back":   {Note{Checked: ago(-time.Hour)}, src, 0},
		"failed once":          {Note{Failures: 1, Asked: ago(4 * time.Second)}, src, 6 * time.Second},
		"failed often":         {Note{Failures: 50, Asked: ago(0)}, src, time.Hour},
		"failed, but is quick": {Note{Failures: 50, Asked: ago(0)}, quick, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Due(c.note, c.src, now); got != c.want {
				t.Errorf("%s: due in %s, want %s", name, got, c.want)
			}
		})
	}
}
