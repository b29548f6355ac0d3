package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// posted is what a web server got.
type posted struct {
	by, path, body string
	header         http.Header
	at             time.Time
}

// inbox is a web server on port 8123 of the internet, at every provider.
type inbox struct {
	mu sync.Mutex
	// refusals is how many requests are answered with 503 before the next one is accepted.
	refusals int
	got      []posted
}

func (w *watched) inbox() *inbox {
	w.t.Helper()
	in := &inbox{}
	for name, isp := range w.ISPs {
		isp.NFT("table inet inbox {\n\tchain pre {\n\t\ttype nat hook prerouting priority dstnat - 1\n" +
			"\t\ttcp dport 8123 redirect to :8123\n\t}\n}\n")
		var l net.Listener
		var err error
		isp.Do(func() { l, err = net.Listen("tcp", ":8123") })
		if err != nil {
			w.t.Fatal(err)
		}
		s := &http.Server{Handler: in.handler(name)}
		go func() { _ = s.Serve(l) }()
		w.t.Cleanup(func() { _ = s.Close() })
	}
	return in
}

func (in *inbox) handler(by string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.refusals > 0 {
			in.refusals--
			http.Error(w, "come back "+r.Header.Get("Authorization"), http.StatusServiceUnavailable)
			return
		}
		in.got = append(in.got, posted{by, r.URL.Path, string(body), r.Header, time.Now()})
	})
}

// refuse has the next requests answered with 503.
func (in *inbox) refuse(n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.refusals = n
}

func (in *inbox) all() []posted {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.got)
}

// find returns the posts whose body has all of the words.
func (in *inbox) find(words ...string) (out []posted) {
	for _, p := range in.all() {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(p.body, word) }) {
			out = append(out, p)
		}
	}
	return out
}

func (in *inbox) wait(t *testing.T, words ...string) posted {
	t.Helper()
	lab.WaitFor(t, fmt.Sprintf("a post with %q", words), func() bool { return len(in.find(words...)) > 0 })
	return in.find(words...)[0]
}

const notifyURL = "http://203.0.113.9:8123/hooks/PATHSECRET"

// Events are posted by whatever uplink the router has; while it has none they are kept, also over a
// restart, and sent when there is one.
func TestWatchNotifies(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy+"[watch]\nnotify = \""+notifyURL+"\"\n", 2)
	in := w.inbox()
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	w.dead("isp1", "9.9.9.9")
	p := in.wait(t, `"uplink":"isp1"`, `"to":"down"`)
	var e struct {
		Text, Event, Uplink, Interface, Version, From, To, Reason, Host string
		Time                                                            time.Time
		Tables                                                          map[string][]string
	}
	step := steps.Of(t)
	step.Run("what failed is told, by the other uplink", func(t *testing.T) {
		if err := json.Unmarshal([]byte(p.body), &e); err != nil || p.by != "isp2" || p.path != "/hooks/PATHSECRET" ||
			p.header.Get("Content-Type") != "application/json" {
			t.Errorf("%v, %+v", err, p)
		}
		if e.Event != "down" || e.Interface != "wan1" || e.Version != "both" || e.From != "up" ||
			!strings.Contains(e.Reason, "9.9.9.9") || e.Host == "" ||
			time.Since(e.Time).Abs() > time.Minute || !strings.HasPrefix(e.Text, "uplink isp1: down: ") ||
			!slices.Equal(e.Tables["default"], []string{"isp2"}) || !slices.Equal(e.Tables["only-isp2"], []string{"isp2"}) {
			t.Errorf("%+v", e)
		}
	})
	before := 0 // of them had arrived
	step.Run("without a way messages are kept, over a restart too", func(t *testing.T) {
		w.silence("isp2")
		w.silence("isp1")
		w.waitState("isp2", "down")
		before = len(in.all())
		w.router.must("uplink", "isp1", "up")
		w.router.must("uplink", "isp1", "auto")
		w.logged("notify: events cannot be posted, they are kept", "server=http://203.0.113.9:8123")
		w.stop()
		w.start()
		lab.WaitFor(t, "the watch", func() bool { return w.state("isp2") != "" })
		w.router.must("uplink", "isp2", "down")
		if n := len(in.all()); n != before {
			t.Errorf("%d posts arrived while nothing could", n-before)
		}
	})
	step.Run("they are sent in order when there is one", func(t *testing.T) {
		w.alive("isp1", "9.9.9.9")
		began := time.Now()
		w.speak("isp1")
		last := in.wait(t, `"uplink":"isp2"`, `"to":"forced-down"`)
		// 5 s are promised, and held by the fake clock in cmd/pbr/notify; a busy machine may add
		// some.
		if took := last.at.Sub(began); took > lab.Patience(10*time.Second) {
			t.Errorf("what was kept came after %v", took)
		}
		var order []string
		for _, p := range in.all()[before:] {
			if err := json.Unmarshal([]byte(p.body), &e); err != nil || p.by != "isp1" {
				t.Errorf("%v, %+v", err, p)
			}
			order = append(order, e.Uplink+" "+e.To)
		}
		got := strings.Join(order, ", ")
		if !strings.HasPrefix(got, "isp2 down, isp1 forced-up, isp1 ") || !strings.Contains(got, "isp2 forced-down") {
			t.Errorf("what was kept: %s", got)
		}
	})
	step.Run("the log has no secret", func(t *testing.T) {
		if strings.Contains(w.log.text(), "PATHSECRET") {
			t.Error("the log has the URL")
		}
	})
}

// Headers and template are the policy's, an answer other than 2xx is not an end, and no secret gets
// into the log. A reload changes where events go.
func TestWatchNotifyTemplate(t *testing.T) {
	t.Parallel()
	notify := `[watch.notify]
url = "` + notifyURL + `"
headers = { Authorization = "Bearer HEADERSECRET", Title = "Router" }
template = '{{.uplink}} was {{.from}}, is {{.To}}: {{join .tables.default "+"}}'
`
	w := newWatched(t, watchPolicy+notify, 2)
	in := w.inbox()
	in.refuse(2)
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	w.router.must("uplink", "isp1", "down")
	step := steps.Of(t)
	step.Run("the template makes the text, with the headers", func(t *testing.T) {
		p := in.wait(t, "isp1 was up, is forced-down: isp2")
		if p.header.Get("Authorization") != "Bearer HEADERSECRET" || p.header.Get("Title") != "Router" ||
			!strings.HasPrefix(p.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%+v", p)
		}
		w.logged("events cannot be posted", "503 Service Unavailable come back ***")
	})
	step.Run("a template that names what does not exist is an error", func(t *testing.T) {
		w.router.write(watchPolicy + strings.Replace(notify, ".from", ".form", 1))
		if res := w.router.pbr("check"); res.Code != 1 ||
			!strings.Contains(res.Stderr, fmt.Sprintf(":%d:", 1+strings.Count(watchPolicy, "\n")+3)) ||
			!strings.Contains(res.Stderr, `there is no "form"`) {
			t.Errorf("a bad template: exit status %d\n%s", res.Code, res.Stderr)
		}
	})
	step.Run("a file with secrets that others may read is a warning", func(t *testing.T) {
		w.router.write(watchPolicy + strings.Replace(notify, "was", "no longer", 1))
		if res := w.router.pbr("check", "--live"); res.Code != 0 || !strings.Contains(res.Stderr, "[notify-secrets]") ||
			!strings.Contains(res.Stderr, "chmod go-r") {
			t.Errorf("others may read the file: exit status %d\n%s", res.Code, res.Stderr)
		}
		if err := os.Chmod(w.router.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if res := w.router.pbr("check", "--live"); strings.Contains(res.Stderr, "notify-secrets") {
			t.Error(res.Stderr)
		}
	})
	step.Run("a reload uses the new one", func(t *testing.T) {
		w.hangUp()
		w.logged("reloaded the policy")
		w.router.must("uplink", "isp1", "auto")
		in.wait(t, "isp1 no longer ")
	})
	step.Run("nothing secret is left behind", func(t *testing.T) {
		if log := w.log.text(); strings.Contains(log, "HEADERSECRET") || strings.Contains(log, "PATHSECRET") {
			t.Error("the log has secrets")
		}
		left, _ := filepath.Glob(filepath.Join(w.Router.StateDir(), "unsent*"))
		if len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// A server that never answers holds up nothing.
func TestWatchNotifyHangs(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy+"[watch]\nnotify = \""+notifyURL+"\"\n", 2)
	for _, isp := range w.ISPs {
		isp.NFT("table inet inbox {\n\tchain pre {\n\t\ttype filter hook prerouting priority -200\n\t\ttcp dport 8123 drop\n\t}\n}\n")
	}
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	began := time.Now()
	for _, mode := range []string{"down", "up", "down", "auto"} {
		w.router.must("uplink", "isp1", mode)
	}
	if took := time.Since(began); took > lab.Patience(10*time.Second) { // a connection that is not answered takes 2.5 s
		t.Errorf("four orders took %v", took)
	}
	w.dead("isp2", "9.9.9.9")
	w.waitState("isp2", "down")
}
