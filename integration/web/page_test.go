//go:build !small

package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// TestPage: the page of a real watch, asked as a browser does, in one network.
func TestPage(t *testing.T) {
	t.Parallel()
	r := start(t, `web = "127.0.0.1:9810"`)
	r.open("laptop", "8.8.8.8:443")
	r.open("phone", "9.9.9.9:5060")
	t.Run("views", r.views)
	t.Run("explain", r.explained)
	t.Run("connections", r.connections)
	t.Run("trace", r.traced)
	t.Run("terminal", r.statusScreen)
	t.Run("live", r.lineDies)
	t.Run("graph", r.graph)
	t.Run("changes", r.changes)
	t.Run("slow", r.slowClients)
	t.Run("token", r.token)
}

func (r *router) views(t *testing.T) {
	c := r.client()
	for path, words := range map[string][]string{
		"/":          {"3 of 3 can be used", "192.0.2.1", "2001:db8:f2::1", "198.51.100.2", "Throughput"},
		"/line/isp2": {"The last hour", "The last day", "Changes of state"},
		"/ways":      {"<svg", "office-only", "everything else", "phone"},
		"/events":    {"round answered"},
		"/doctor":    {"rp_filter", "kernel"},
		"/changes":   {"Nothing differs"},
	} {
		lab.WaitFor(t, fmt.Sprintf("%s with %q", path, words), func() bool {
			status, body := r.get(c, path)
			return status == 200 && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(body, w) })
		})
	}
	for _, host := range []string{"evil.example", "evil.example:9810"} {
		req, _ := http.NewRequest("GET", "http://"+address+"/", nil)
		req.Host = host
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := read(t, res); status != http.StatusMisdirectedRequest || strings.Contains(body, "isp1") {
			t.Errorf("as %s: %d", host, status)
		}
	}
}

// tags are what a page has around its words.
var tags = regexp.MustCompile(`<[^>]*>`)

// words are a text's, without markup.
func words(html string) string {
	text := tags.ReplaceAllString(html, " ")
	text = strings.NewReplacer("&gt;", ">", "&lt;", "<", "&#34;", `"`, "&#39;", "'", "&amp;", "&", "├─", "", "└─",
		"", "│", "", " - ", " ").Replace(text)
	return strings.Join(strings.Fields(text), " ")
}

// explained: the form answers as the command does, word for word.
func (r *router) explained(t *testing.T) {
	c := r.client()
	for _, q := range []url.Values{
		{"src": {"192.168.20.10"}, "dst": {"9.9.9.9"}, "proto": {"udp"}, "dport": {"5060"}},
		{"src": {"192.168.10.10"}, "dst": {"10.99.1.5"}, "proto": {"tcp"}, "dport": {"3389"}},
		{"in": {"local"}, "dst": {"9.9.9.9"}, "proto": {"udp"}, "dport": {"53"}},
		{"src": {"2001:db8:20::10"}, "dst": {"2001:db8:ffff::9"}, "proto": {"ping"}},
	} {
		args := []string{"--config", r.file, "explain"}
		for k, v := range q {
			args = append(args, "--"+k, v[0])
		}
		want := words(strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(r.Router.Run(program, args...)))
		status, body := r.post(c, "/why", q)
		_, answer, _ := strings.Cut(body, `class="story"`)
		answer, _, _ = strings.Cut(answer, "</section>")
		_, answer, _ = strings.Cut(answer, ">")
		if got := words(answer); status != 200 || got != want {
			t.Errorf("%v: %d\npage    %s\ncommand %s", q, status, got, want)
		}
	}
	if _, body := r.post(c, "/why", url.Values{"src": {"192.168.20.10"}, "dst": {"9.9.9.999"},
		"proto": {"udp"}}); !strings.Contains(words(body), `9.9.9.999`) || !strings.Contains(body, `role="alert"`) {
		t.Errorf("a wrong address:\n%s", body)
	}
}

func (r *router) connections(t *testing.T) {
	c := r.client()
	status, body := r.get(c, "/why/connections?q=9.9.9.9:5060")
	text := words(body)
	if status != 200 || !strings.Contains(text, "udp 192.168.20.10:") || !strings.Contains(text, "isp2 phone") ||
		strings.Contains(text, "8.8.8.8:443") || !strings.Contains(text, "the newest at the top") {
		t.Errorf("%d %s", status, text)
	}
	if _, body := r.get(c, "/why/connections?uplink=isp1&q=laptop"); strings.Contains(body, "192.168.10.10:") {
		t.Error("a search finds what does not match")
	}
	if _, body := r.get(c, "/why/connections?policy=phone"); !strings.Contains(body, "9.9.9.9:5060") ||
		strings.Contains(body, "8.8.8.8:443") {
		t.Errorf("by policy:\n%s", body)
	}
}

// traced: packets appear while the trace lasts, and its chain is gone when the visitor leaves.
func (r *router) traced(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+address+"/why/trace", strings.NewReader("host=192.168.10.10"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := r.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				if conn, err := r.LANs["laptop"].Dial("udp", netip.Addr{}, netip.MustParseAddrPort("9.9.9.9:4444"),
					lab.DialOptions{}); err == nil {
					_, _ = conn.Ask()
					conn.Close()
				}
			}
		}
	}()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if text := words(lines.Text()); strings.Contains(text, "> 9.9.9.9:4444") && strings.Contains(text, "isp1") {
			leave()
			lab.WaitFor(t, "the end of the trace", func() bool {
				return !strings.Contains(r.Router.Run("nft", "list", "ruleset"), "trace")
			})
			return
		}
	}
	t.Errorf("the trace ended without the packet: %v", lines.Err())
}

// hear opens the stream of a view and hands its parts on.
func (r *router) hear(t *testing.T, view string) <-chan map[string]string {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+address+"/live?view="+view, nil)
	res, err := (&http.Client{Transport: &http.Transport{DialContext: r.dial, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	parts := make(chan map[string]string, 1000)
	go func() {
		defer res.Body.Close()
		lines := bufio.NewReader(res.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				close(parts)
				return
			}
			var p map[string]string
			if data, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(data), &p) == nil {
				parts <- p
			}
		}
	}()
	return parts
}

// lineDies: a page hears that a line died, and that ways changed, without being asked for again.
func (r *router) lineDies(t *testing.T) {
	lines, ways := r.hear(t, "lines"), r.hear(t, "ways")
	<-lines
	<-ways
	r.silent("isp1")
	r.waitState("isp1", "down")
	began := time.Now()
	await := func(parts <-chan map[string]string, id string, words ...string) {
		t.Helper()
		limit := time.After(lab.Patience(20 * time.Second))
		for {
			select {
			case p := <-parts:
				if html := p[id]; html != "" && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(html, w) }) {
					return
				}
			case <-limit:
				t.Fatalf("no %s with %q", id, words)
			}
		}
	}
	await(lines, "state-0", "down")
	t.Logf("the page shows it %v after pbr status did", time.Since(began))
	await(ways, "picture", `class="uplink off"`, "no answer")
	if _, body := r.get(r.client(), "/line/isp1"); !strings.Contains(body, `class="mark out"`) {
		// The plots have it with the recorder's next look.
		lab.WaitFor(t, "the failover in the plots", func() bool {
			_, body := r.get(r.client(), "/line/isp1")
			return strings.Contains(body, `class="mark out"`)
		})
	}
}

// graph: the command draws what the kernel and the watch have; isp1 is down.
func (r *router) graph(t *testing.T) {
	out := r.Router.Run(program, "--config", r.file, "graph")
	for _, want := range []string{"policy phone (1 hit)\n", "╚══> isp2  distance 2",
		"├─>  isp1  distance 1  not usable: down: 8.8.8.8: no answer", "isp2  wan2 up\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("pbr graph lacks %q:\n%s", want, out)
		}
	}
	if svg := r.Router.Run(program, "--config", r.file, "graph", "--format", "svg"); !strings.Contains(svg, `class="uplink off"`) {
		t.Errorf("pbr graph --format svg:\n%s", svg)
	}
	r.speaking("isp1")
	r.waitState("isp1", "up")
}

// changes: an edit that is not in force, and an apply that waits.
func (r *router) changes(t *testing.T) {
	c := r.client()
	policy, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	r.policy(strings.Replace(string(policy), "dport = 5060", "dport = 5070", 1))
	if _, body := r.get(c, "/changes"); !strings.Contains(body, "Kernel differs") || !strings.Contains(body, "5070") {
		t.Errorf("after an edit:\n%s", body)
	}
	r.Router.Run(program, "--config", r.file, "apply", "--confirm", "10m")
	lab.WaitFor(t, "the trial on the page", func() bool {
		_, body := r.get(c, "/")
		return strings.Contains(body, "An apply waits to be confirmed")
	})
	if _, body := r.get(c, "/changes"); !strings.Contains(body, "pbr confirm") || !strings.Contains(body, "Nothing differs") {
		t.Errorf("during a trial:\n%s", body)
	}
	r.Router.Run(program, "--config", r.file, "revert")
	r.policy(string(policy))
}

// slowClients: 300 of them hang in every way that there is, others flood, and a line dies: it is
// taken out of use as soon as without them. A busy machine is slow now and then; then both are
// tried again.
func (r *router) slowClients(t *testing.T) {
	const tries, slower = 3, 2
	for try := 1; ; try++ {
		alone := r.failover(t)
		leave := r.crowd(t)
		crowded := r.failover(t)
		leave()
		t.Logf("out of use after %v, with slow clients after %v", alone, crowded)
		if crowded <= slower*alone {
			break
		}
		if try == tries {
			t.Errorf("out of use after %v, with slow clients only after %v", alone, crowded)
			break
		}
	}
	lab.WaitFor(t, "the page to answer again", func() bool {
		res, err := r.client().Get("http://" + address + "/")
		if err != nil {
			return false
		}
		status, _ := read(t, res)
		return status == 200
	})
}

// failover lets isp2 die, and returns how long it takes until new connections use the other line.
func (r *router) failover(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	r.silent("isp2")
	took := time.Duration(0)
	lab.WaitFor(t, "new connections to use the other line", func() bool {
		out := r.Router.Exec(program, "--config", r.file, "explain", "192.168.20.10", "9.9.9.9:5060/udp").Stdout
		took = time.Since(began)
		return strings.Contains(out, "through uplink isp1")
	})
	r.waitState("isp2", "down")
	r.speaking("isp2")
	r.waitState("isp2", "up")
	return took
}

// crowd has clients hang and flood, until what it returns is called.
func (r *router) crowd(t *testing.T) (leave func()) {
	t.Helper()
	var conns []net.Conn
	for i := range 300 {
		conn, err := r.dial(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		switch i % 3 {
		case 1: // a head that never ends
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
		case 2: // a stream that nobody reads
			_, _ = io.WriteString(conn, "GET /live?view=lines HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		}
	}
	flood, ended := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c := &http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: r.dial}}
		for flood.Err() == nil {
			if res, err := c.Get("http://" + address + "/ways"); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}
	}()
	return func() {
		ended()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	}
}

// token: after a reload the page asks for one, and is on a socket after the next.
func (r *router) token(t *testing.T) {
	policy, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/token"
	if err := os.WriteFile(file, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	web := func(value string) {
		r.policy(strings.Replace(string(policy), `web = "127.0.0.1:9810"`, "web = "+value, 1))
		r.Router.Run(program, "--config", r.file, "apply")
	}
	web(fmt.Sprintf(`{ listen = %q, token-file = %q }`, address, file))
	c := r.client()
	lab.WaitFor(t, "the login", func() bool {
		res, err := c.Get("http://" + address + "/")
		if err != nil {
			return false
		}
		status, body := read(t, res)
		return status == http.StatusUnauthorized && strings.Contains(body, "Token") && !strings.Contains(body, "isp1")
	})
	if status, body := r.post(c, "/login", url.Values{"token": {"0123456789abcdef"}}); status != 200 || !strings.Contains(body, "isp1") {
		t.Errorf("with the token: %d\n%s", status, body)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	socket := t.TempDir() + "/web.sock"
	web(`"unix:` + socket + `"`)
	lab.WaitFor(t, "the socket", func() bool { _, err := os.Stat(socket); return err == nil })
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	over := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	res, err := over.Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	if status, body := read(t, res); status != 200 || !strings.Contains(body, "isp1") {
		t.Errorf("over the socket: %d", status)
	}
	web(fmt.Sprintf(`{ listen = %q, token-file = %q }`, address, file))
	lab.WaitFor(t, "the refusal of a token that others can read", func() bool {
		return strings.Contains(r.text(), "the page is not served") && strings.Contains(r.text(), "chmod 600")
	})
}
