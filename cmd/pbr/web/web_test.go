//go:build !small

package web

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// views are all pages.
var views = []string{"/", "/line/isp1", "/ways", "/why", "/why/connections", "/why/trace", "/events", "/doctor", "/changes"}

// inline finds what the content security policy forbids.
var inline = regexp.MustCompile(`(?i)<script>|<script[^>]*>[^<]|\son[a-z]+=|\sstyle=|<style|javascript:|(src|href)="(https?:)?//`)

// Each page is whole, has its headers, and nothing that somebody else wrote is markup.
func TestPages(t *testing.T) {
	s := server(t, newFake(), nil)
	pages := map[string]string{}
	for _, path := range views {
		t.Run(path, func(t *testing.T) {
			w := ask(s, "GET", path, "", nil)
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			pages[path] = w.Body.String()
			for name, want := range headers {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %s is %q", path, name, got)
				}
			}
		})
	}
	pages["answer"] = ask(s, "POST", "/why", "src=10.0.0.1&dst=9.9.9.9&proto=tcp&dport=443", nil).Body.String()
	pages["trace"] = ask(s, "POST", "/why/trace", "host=10.0.0.1", nil).Body.String()
	for path, body := range pages {
		if found := inline.FindString(body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		if !strings.HasPrefix(body, "<!doctype html>") || !strings.HasSuffix(body, "</html>\n") || strings.Count(body, "<h1>") != 1 {
			t.Errorf("%s is not a whole page:\n%s", path, body)
		}
	}
	for path, want := range map[string]string{
		"/": "49 GB of 50 GB", "/line/isp1": "The last day", "/ways": `<a href="/line/isp1">`,
		"/events": "<td>IPv4</td>", "/changes": `<span class="del">`,
		"answer": "pbr explain --src 10.0.0.1 --dst 9.9.9.9 --proto tcp --dport 443", "trace": "1 packet",
	} {
		if !strings.Contains(pages[path], want) {
			t.Errorf("%s does not have %s:\n%s", path, want, pages[path])
		}
	}
	for path, want := range map[string]int{"/line/isp9": 404, "/nothing": 404, "/static/": 404,
		"/static/style.css": 200, "/static/page.js": 200, "/static/icon.svg": 200, "/static/../server.go": 404} {
		t.Run(path, func(t *testing.T) {
			if w := ask(s, "GET", path, "", nil); w.Code != want && w.Code != http.StatusTemporaryRedirect &&
				w.Code != http.StatusMovedPermanently {
				t.Errorf("%s: %d", path, w.Code)
			}
		})
	}
}

// A question that is wrong is answered by what is wrong, and a page that cannot be made is no
// half page.
func TestWrongQuestions(t *testing.T) {
	f := newFake()
	s := server(t, f, nil)
	t.Run("a wrong question is told why", func(t *testing.T) {
		if w := ask(s, "POST", "/why", "src=10.0.0.1", nil); w.Code != 200 ||
			!strings.Contains(w.Body.String(), "dst: missing &lt;script&gt;") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	for _, host := range []string{"", "--help", "10.0.0.1;reboot", "fe80::1%eth0", "10.0.0.0/33"} {
		t.Run(host, func(t *testing.T) {
			w := ask(s, "POST", "/why/trace", url.Values{"host": {host}}.Encode(), nil)
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "invalid address") {
				t.Errorf("trace of %q: %d", host, w.Code)
			}
		})
	}
	t.Run("nothing of that is asked", func(t *testing.T) {
		if slices.ContainsFunc(f.asked, func(a string) bool { return strings.HasPrefix(a, "trace") }) {
			t.Errorf("asked %q", f.asked)
		}
	})
	t.Run("a long field is refused", func(t *testing.T) {
		if w := ask(s, "POST", "/why", "src="+strings.Repeat("1", 300), nil); w.Code != http.StatusBadRequest {
			t.Errorf("a long field: %d", w.Code)
		}
	})
	t.Run("a long form is refused", func(t *testing.T) {
		if w := ask(s, "POST", "/why", "src="+strings.Repeat("1", maxBody), nil); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("a long form: %d", w.Code)
		}
	})
}

// Nobody gets in by another name, from another page, or by another method; nothing is asked for
// them.
func TestNobodyElse(t *testing.T) {
	f := newFake()
	s := server(t, f, func(o *Options) { o.Hosts = []string{"router.example.org"} })
	for _, c := range []struct {
		name   string
		method string
		change func(*http.Request)
		want   int
	}{
		{"address", "POST", nil, 200},
		{"IPv6", "POST", func(r *http.Request) { r.Host = "[::1]:9810" }, 200},
		{"localhost", "POST", func(r *http.Request) { r.Host = "localhost:8080" }, 200},
		{"listed", "POST", func(r *http.Request) { r.Host = "Router.example.org" }, 200},
		{"rebound", "POST", func(r *http.Request) { r.Host = "evil.example:9810" }, 421},
		{"rebound GET", "GET", func(r *http.Request) { r.Host = "evil.example:9810" }, 421},
		{"suffix", "GET", func(r *http.Request) { r.Host = "localhost.evil.example" }, 421},
		{"no host", "GET", func(r *http.Request) { r.Host = "" }, 421},
		{"own origin", "POST", func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:9810") }, 200},
		{"other origin", "POST", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"other port", "POST", func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:80") }, 403},
		{"null origin", "POST", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"other origin GET", "GET", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"cross-site", "POST", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"cross-site image", "GET", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "no-cors")
		}, 403},
		{"a link", "GET", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "document")
		}, 200},
		{"PUT", "PUT", nil, 405}, {"DELETE", "DELETE", nil, 405}, {"TRACE", "TRACE", nil, 405},
	} {
		t.Run(c.name, func(t *testing.T) {
			if w := ask(s, c.method, "/why", "src=1.1.1.1&dst=9.9.9.9", c.change); w.Code != c.want {
				t.Errorf("%s: %d, not %d: %s", c.name, w.Code, c.want, w.Body)
			}
		})
	}
	if n := len(f.asked); n != 5 {
		t.Errorf("%d questions were asked", n)
	}
	for _, path := range []string{"/", "/ways", "/doctor", "/events"} {
		t.Run(path, func(t *testing.T) {
			if w := ask(s, "POST", path, "", nil); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("POST %s: %d", path, w.Code)
			}
		})
	}
}

// event is what a page hears.
type event struct {
	name  string
	parts map[string]string
}

// hear reads a stream's next event.
func hear(t *testing.T, r *bufio.Reader) (e event) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			e.name = name
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e.parts); err != nil {
				t.Fatal(err)
			}
		}
		if line == "" && e.name != "" {
			return e
		}
	}
}

// A page hears of what changes, and of nothing else.
func TestLive(t *testing.T) {
	f := newFake()
	s := server(t, f, nil)
	l := httptest.NewServer(s.Handler())
	defer l.Close()
	res, err := http.Get(l.URL + "/live?view=lines")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := bufio.NewReader(res.Body)
	if e := hear(t, r); !strings.Contains(e.parts["state-0"], "up") || e.parts["plot-0"] != "" {
		t.Errorf("%+v", e)
	}
	f.set("down")
	for {
		e := hear(t, r)
		if strings.Contains(e.parts["state-0"], "down") {
			if e.parts["summary"] != "0 of 1 can be used" {
				t.Errorf("%+v", e)
			}
			break
		}
	}
	f.mu.Lock()
	f.snapshot = func(n *Snapshot) { n.Lines = append(n.Lines, Line{Name: "new", Versions: []Version{{Number: 4}}}) }
	f.mu.Unlock()
	for e := hear(t, r); e.name != "shape"; e = hear(t, r) {
	}
	_ = l // the stream has ended
}

// Only so many pages are kept up to date; who comes later is told, and those who leave make room.
func TestWatchers(t *testing.T) {
	s := server(t, newFake(), nil)
	var list []*watcher
	for range maxWatchers {
		list = append(list, s.hub.join("lines"))
	}
	t.Run("one too many is told so", func(t *testing.T) {
		if w := ask(s, "GET", "/live?view=lines", "", nil); w.Code != http.StatusServiceUnavailable {
			t.Errorf("one too many: %d", w.Code)
		}
	})
	t.Run("one who leaves makes room", func(t *testing.T) {
		s.hub.leave(list[0])
		if s.hub.join("ways") == nil {
			t.Error("no room after one left")
		}
	})
}

// Floods are refused, and questions are answered one at a time.
func TestFlood(t *testing.T) {
	now := time.Now()
	s := server(t, newFake(), func(o *Options) { o.Now = func() time.Time { return now } })
	refused := 0
	for range 2 * floodSize {
		if ask(s, "GET", "/static/icon.svg", "", nil).Code == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != floodSize {
		t.Errorf("%d of %d were refused", refused, 2*floodSize)
	}
	now = now.Add(time.Second)
	if w := ask(s, "GET", "/", "", nil); w.Code != http.StatusOK {
		t.Errorf("a second later: %d", w.Code)
	}
}

// A view of 200 lines is made in parts of which only those are sent that change.
func TestManyLines(t *testing.T) {
	f := newFake()
	f.snapshot = func(n *Snapshot) {
		for i := range 200 {
			n.Lines = append(n.Lines, Line{Name: fmt.Sprint("line", i), State: "up", Usable: true,
				Versions: []Version{{Number: 4, State: "up", Usable: true}}})
		}
	}
	s := server(t, f, nil)
	t.Run("the view has a row for each", func(t *testing.T) {
		if body := ask(s, "GET", "/", "", nil).Body.String(); strings.Count(body, "<tr>") != 202 || strings.Contains(body, "<article") {
			t.Errorf("%d rows", strings.Count(body, "<tr>"))
		}
	})
	n, _ := s.hub.snapshot(t.Context())
	first, sent := s.partsOf("lines", n), map[string]string{}
	w := httptest.NewRecorder()
	out := &stream{w: w, control: http.NewResponseController(w)}
	if err := out.changed(first.html, sent); err != nil {
		t.Fatal(err)
	}
	t.Run("nothing is sent where nothing changed", func(t *testing.T) {
		before := w.Body.Len()
		if err := out.changed(first.html, sent); err != nil || w.Body.Len() != before {
			t.Errorf("%d more bytes for nothing new, %v", w.Body.Len()-before, err)
		}
	})
}

// FuzzRequests: whatever comes, the server answers, with its headers, without an error of its
// own, and asks nothing for those who must not.
func FuzzRequests(f *testing.F) {
	for _, path := range append(views, "/live", "/login", "/static/page.js", "//", "/%00", "/line/..%2f", "/why?src=%zz") {
		f.Add("GET", path, "127.0.0.1:9810", "", "")
		f.Add("POST", path, "evil.example", "http://evil.example", "host=1.1.1.1&src=<x>")
	}
	source := newFake()
	f.Fuzz(func(t *testing.T, method, path, host, origin, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://x/", strings.NewReader(body))
		u, urlErr := url.ParseRequestURI(path)
		if err != nil || urlErr != nil || strings.HasPrefix(path, "/live") && method == "GET" {
			t.Skip()
		}
		s := server(t, source, func(o *Options) { o.Token = "0123456789abcdef" })
		r.URL, r.Host, r.RequestURI = u, host, path
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 || w.Header().Get("Content-Security-Policy") != policyHeader || len(source.asked) > 0 {
			t.Errorf("%s %s: %d %s, asked %q", method, path, w.Code, w.Body, source.asked)
		}
	})
}
