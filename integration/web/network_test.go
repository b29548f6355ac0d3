//go:build !small

// Package web looks at the page of pbr watch as its visitors do: by HTTP, and with a browser
// (make test-web), while the demo's network runs.
package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
)

// program is the pbr that is examined.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path, remove, err := lab.Program()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	program = path
	return m.Run()
}

// router is the demo's router with a watch that serves its page.
type router struct {
	*lab.Net
	t    *testing.T
	file string
	cmd  *exec.Cmd

	mu  sync.Mutex
	log bytes.Buffer
}

// Write implements io.Writer for the log.
func (r *router) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *router) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// address is where the page is, on the router.
const address = "127.0.0.1:9810"

// start builds the demo's network and starts pbr watch with [watch] in its policy.
func start(t *testing.T, watch string) *router {
	t.Helper()
	policy, err := os.ReadFile("../demo/policy.toml")
	if err != nil {
		t.Fatal(err)
	}
	vpn := lab.ISP(3)
	vpn.Name, vpn.Iface, vpn.Line = "vpn", "tun0", lab.TunnelLine
	vpn.Router6, vpn.Gateway6 = netip.Prefix{}, netip.Addr{}
	r := &router{t: t, file: filepath.Join(t.TempDir(), "pbr.toml"), Net: lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("laptop", "lan", 10, 10), lab.LAN("phone", "voice", 20, 10), lab.LAN("server", "dmz", 30, 10)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), vpn},
	})}
	for _, isp := range r.ISPs {
		isp.ServeInternet()
	}
	r.policy(string(policy) + "\n[watch]\n" + watch + "\n")
	r.Router.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
	r.Router.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	r.watch()
	return r
}

func (r *router) policy(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// watch starts pbr watch; it ends with the test.
func (r *router) watch() {
	r.t.Helper()
	r.cmd = r.Router.Command(program, "--config", r.file, "watch")
	r.cmd.Stderr = r
	if err := r.Router.Start(r.cmd); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		if err := r.cmd.Wait(); err != nil {
			r.t.Errorf("pbr watch ended with %v", err)
		}
		if r.t.Failed() {
			r.t.Logf("pbr watch said:\n%s", r.text())
		}
	})
	for _, uplink := range []string{"isp1", "isp2"} {
		r.waitState(uplink, "up")
	}
}

func (r *router) waitState(uplink, state string) {
	r.t.Helper()
	lab.WaitFor(r.t, uplink+" to be "+state, func() bool {
		out := r.Router.Exec(program, "--config", r.file, "status").Stdout
		return strings.Contains(out, "pbr watch: process") && strings.Contains(line(out, uplink), " "+state+" ")
	})
}

// line is the first line of a text that begins with a word.
func line(text, word string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, word+" ") {
			return l
		}
	}
	return ""
}

// dial connects to the page from the router itself.
func (r *router) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	r.Router.Do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, addr) })
	return conn, err
}

// client is a visitor on the router, with cookies. Connections are not kept: each request stands
// for itself.
func (r *router) client() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{Jar: jar, Timeout: lab.Patience(30 * time.Second),
		Transport: &http.Transport{DialContext: r.dial, DisableKeepAlives: true}}
}

// get fetches a page.
func (r *router) get(c *http.Client, path string) (status int, body string) {
	r.t.Helper()
	res, err := c.Get("http://" + address + path)
	if err != nil {
		r.t.Fatal(err)
	}
	return read(r.t, res)
}

func (r *router) post(c *http.Client, path string, form url.Values) (status int, body string) {
	r.t.Helper()
	res, err := c.PostForm("http://"+address+path, form)
	if err != nil {
		r.t.Fatal(err)
	}
	return read(r.t, res)
}

func read(t *testing.T, res *http.Response) (int, string) {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// silent makes a provider's internet silent behind its gateway; the cable is in, and the gateway
// answers.
func (r *router) silent(isp string) {
	r.t.Helper()
	r.ISPs[isp].NFT("table inet dead { chain in { type filter hook prerouting priority -350; " +
		"ip daddr 8.8.8.8 drop; meta nfproto ipv6 meta l4proto { tcp, udp, ipv6-icmp } drop; }\n}\n")
}

func (r *router) speaking(isp string) {
	r.t.Helper()
	r.ISPs[isp].NFT("delete table inet dead\n")
}

// open opens a connection of a LAN host that stays open as long as the test.
func (r *router) open(host, to string) {
	r.t.Helper()
	network := "tcp"
	if strings.HasSuffix(to, ":5060") || strings.HasSuffix(to, ":53") {
		network = "udp"
	}
	conn, err := r.LANs[host].Dial(network, netip.Addr{}, netip.MustParseAddrPort(to), lab.DialOptions{})
	if err != nil {
		r.t.Fatalf("%s to %s: %v", host, to, err)
	}
	r.t.Cleanup(conn.Close)
	if _, err := conn.Ask(); err != nil {
		r.t.Fatalf("%s to %s: %v", host, to, err)
	}
}
