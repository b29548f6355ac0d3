package integration

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// listServer is a web server with one text, that behaves as a test wants.
type listServer struct {
	mu sync.Mutex
	// answer writes the answer; etag is what the text goes by.
	answer func(http.ResponseWriter, *http.Request)
	asked  int
	// unchanged counts the requests that were answered by 304.
	unchanged int
}

// serveList starts a web server on a host.
func serveList(h *lab.Host, port int) *listServer {
	h.T().Helper()
	s := &listServer{}
	var l net.Listener
	var err error
	h.Do(func() { l, err = net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port)) })
	if err != nil {
		h.T().Fatal(err)
	}
	// The host answers on every other port as the internet does.
	h.Run("nft", "insert", "rule", "inet", "internet", "pre", "tcp", "dport", fmt.Sprint(port), "accept")
	server := &http.Server{Handler: s}
	go func() { _ = server.Serve(l) }()
	h.T().Cleanup(func() { _ = server.Close() })
	return s
}

// ServeHTTP implements http.Handler.
func (s *listServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	answer := s.answer
	s.asked++
	s.mu.Unlock()
	answer(w, r)
}

// has has the server answer with a text, unless the client has it already.
func (s *listServer) has(text string) {
	etag := fmt.Sprintf("%q", fmt.Sprint(len(text), text[:min(len(text), 40)]))
	s.does(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == etag {
			s.mu.Lock()
			s.unchanged++
			s.mu.Unlock()
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", etag)
		_, _ = w.Write([]byte(text))
	})
}

func (s *listServer) does(answer func(http.ResponseWriter, *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *listServer) counts() (asked, unchanged int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.unchanged
}

// urlPolicy is listPolicy with a list from a URL and one from a file.
func urlPolicy(refresh string) string {
	return strings.Replace(listPolicy, `special = ["203.0.113.7", { dynamic = true, size = 4 }]`,
		fmt.Sprintf(`special = ["203.0.113.7", { url = "http://192.0.2.1:8080/list.txt", refresh = %q }, `+
			`{ file = "list.txt" }]`, refresh), 1)
}

// lines is a text of n addresses.
func lines(n int, more ...string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "10.77.%d.%d\n", i/250, i%250)
	}
	return b.String() + strings.Join(more, "\n") + "\n"
}

// TestFetchedLists fetches a list, by command and by the watch. Whatever the server does wrong, the
// last good text stays, and is there without a network after a restart.
func TestFetchedLists(t *testing.T) {
	t.Parallel()
	w := newWatched(t, urlPolicy("1d"), 2)
	server := serveList(w.ISPs["isp1"], 8080)
	file := filepath.Join(filepath.Dir(w.router.file), "list.txt")
	writeFile(t, file, "203.0.113.8\n")
	far := farEnd.Addr().String()
	server.has(lines(10, far+",the far end", "; a comment"))

	step := steps.Of(t)
	step.Run("before the first fetch the list is empty", func(t *testing.T) {
		w.router.must("apply")
		w.waitArrives(byDefault, "isp1") // nothing was fetched yet
		if text := w.router.must("lists", "special"); !strings.Contains(text, "not fetched yet") {
			t.Errorf("before the first fetch:\n%s", text)
		}
	})
	step.Run("a fetch fills it", func(t *testing.T) {
		if text := w.router.must("lists", "update"); !strings.Contains(text, "11 entries") {
			t.Errorf("the first fetch: %s", text)
		}
		w.waitArrives(byDefault, "isp2")
		w.router.inSync()
	})
	step.Run("a text that did not change is not sent again", func(t *testing.T) {
		if text := w.router.must("lists", "update", "special"); !strings.Contains(text, "unchanged") {
			t.Errorf("the same text: %s", text)
		}
		if _, unchanged := server.counts(); unchanged != 1 {
			t.Errorf("%d requests were conditional and answered so, want 1", unchanged)
		}
	})
	w.keepsGoodText(server)

	step.Run("an answer that shrinks it by more than half is kept back", func(t *testing.T) {
		server.has("192.0.2.200\n" + far + "\n")
		if res := w.router.pbr("lists", "update"); res.Code != 1 || !matches(`list special: .* kept back.*--force`, res.Stderr) {
			t.Errorf("a list that shrinks: %d, %s", res.Code, res.Stderr)
		}
		if list := w.router.list("special"); list["10.77.0.0-10.77.0.9"].Source != "url" || list["192.0.2.200"].Source != "" {
			t.Errorf("an answer that shrinks the list by half was taken: %v", list)
		}
		w.router.must("lists", "update", "--force")
		if list := w.router.list("special"); list["10.77.0.0-10.77.0.9"].Source != "" || list["192.0.2.200"].Source != "url" {
			t.Errorf("after --force the list is %v", list)
		}
		w.waitArrives(byDefault, "isp2")
	})

	step.Run("it outlives a restart of the machine without a network", func(t *testing.T) {
		server.does(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		w.Router.Run("nft", "delete", "table", "inet", "pbr")
		w.router.must("apply", "--boot")
		w.waitArrives(byDefault, "isp2")
	})
	w.fetchesByWatch(server, file)
}

// keepsGoodText tries everything that a server can do wrong.
func (w *watched) keepsGoodText(server *listServer) {
	w.t.Helper()
	before := w.router.must("lists", "--json")
	write := func(text string) func(http.ResponseWriter, *http.Request) {
		return func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(text)) }
	}
	endless := func(rw http.ResponseWriter, _ *http.Request) {
		line := []byte(strings.Repeat("10.0.0.1\n", 4096))
		for range 3000 { // over 100 MB
			if _, err := rw.Write(line); err != nil {
				return
			}
		}
	}
	for want, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"500":             func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) },
		"404":             func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) },
		"empty":           write("\n"),
		"HTML":            write("<html><body>Please log in</body></html>\n"),
		"not a list":      write("what\nis\nthis\n10.0.0.1\n"),
		"JSON":            write(`{"error": "quota"}`),
		"larger than 64":  endless,
		"EOF|reset":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"1048576 entries": write(strings.Repeat("10.0.0.1\n", 1<<20+1)),
		"redirections":    func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/list.txt", http.StatusFound) },
	} {
		server.does(answer)
		if res := w.router.pbr("lists", "update", "special"); res.Code != 1 || !matches("list special: .*("+want+")", res.Stderr) {
			w.t.Errorf("%s: exit status %d, %s", want, res.Code, res.Stderr)
		}
	}
	if text := w.router.must("lists", "special"); !strings.Contains(text, "failing since") {
		w.t.Errorf("the failure does not show:\n%s", text)
	}
	server.has(lines(10, farEnd.Addr().String()+",the far end", "; a comment"))
	w.router.must("lists", "update")
	after := w.router.must("lists", "--json")
	if a, b := withoutTimes(before), withoutTimes(after); a != b {
		w.t.Errorf("the list was\n%sand is\n%s", a, b)
	}
	w.waitArrives(byDefault, "isp2")
}

// withoutTimes omits the lines of a JSON text that tell when a URL was asked.
func withoutTimes(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if !matches(`"(fetched|checked)":`, line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// fetchesByWatch has the watch fetch the list, and take over its file.
func (w *watched) fetchesByWatch(server *listServer, file string) {
	t := w.t
	t.Helper()
	far := farEnd.Addr().String()
	w.router.write(urlPolicy("1s"))
	w.start()
	w.logged("fetching http://192.0.2.1:8080/list.txt failed")
	w.waitArrives(byDefault, "isp2")
	server.has("192.0.2.200\n192.0.2.201\n")
	w.waitArrives(byDefault, "isp1")
	w.logged("applied changed lists", "special")
	w.router.inSync()
	server.has("192.0.2.200\n192.0.2.201\n" + far + "\n")
	w.waitArrives(byDefault, "isp2")
	_, before := server.counts()
	lab.WaitFor(t, "the watch asks conditionally", func() bool { _, n := server.counts(); return n > before })

	// A policy file that was edited and not applied stays out of force.
	w.router.write(strings.Replace(urlPolicy("1s"), `uplink = "isp2"`+"\nstrict", `uplink = "isp1"`+"\nstrict", 1))
	server.has("192.0.2.200\n192.0.2.201\n")
	w.waitArrives(byDefault, "isp1")
	if res := w.router.pbr("diff"); res.Code != 2 {
		t.Errorf("an edit came into force with a list: %d, %s", res.Code, res.Stdout)
	}
	w.router.write(urlPolicy("1s"))

	// The file: written in place, replaced, and half written.
	writeFile(t, file, "203.0.113.8\n"+far+"\n")
	w.waitArrives(byDefault, "isp2")
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("203.0.113."); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // in which a watch that reads half a file would have done so
	if by := w.arrives(byDefault); by != "isp2" {
		t.Errorf("a file that is being written was read: %q", by)
	}
	if _, err := f.WriteString("9\n"); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	w.waitArrives(byDefault, "isp1")
	writeFile(t, file+".new", far+"\n")
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	w.waitArrives(byDefault, "isp2")
	// What is wrong with it is told, and it changes nothing.
	writeFile(t, file, "nonsense\n")
	w.logged("the old ones stay", "nonsense")
	if by := w.arrives(byDefault); by != "isp2" {
		t.Errorf("a broken file took effect: %q", by)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, "203.0.113.9\n")
	w.waitArrives(byDefault, "isp1")
	w.router.inSync()
	// A command has the watch take over what it fetched.
	w.router.write(urlPolicy("1d"))
	w.router.must("apply")
	server.has(far + "\n192.0.2.201\n")
	w.router.must("lists", "update")
	if by := w.arrives(byDefault); by != "isp2" {
		t.Errorf("after lists update connections arrive at %q", by)
	}
}
