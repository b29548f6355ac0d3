package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
)

// watchPolicy has two providers, checked every 100 ms beyond their gateways: default by the first,
// host .11 by the second, host .12 by the second or not at all.
const watchPolicy = `
[check]
interval = "100ms"
timeout = "300ms"
down-after = 2
up-after = 2
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:f1::1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
gateway6 = "2001:db8:f2::1"
nat = "198.51.100.2"
check = { method = "ping", targets = "9.9.9.9" }
[[table]]
name = "to-isp2"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[[table]]
name = "only-isp2"
routes = { uplink = "isp2" }
strict = true
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "second"
src = ["192.168.10.11", "2001:db8:10::11"]
table = "to-isp2"
[[policy]]
name = "strict"
src = "192.168.10.12"
table = "only-isp2"
`

// The hosts behind the router, by the policy that catches them, and where they connect to.
var (
	byDefault = netip.MustParseAddr("192.168.10.10")
	bySecond  = netip.MustParseAddr("192.168.10.11")
	byStrict  = netip.MustParseAddr("192.168.10.12")
	farEnd    = netip.MustParseAddrPort("198.18.0.99:7777")
)

// watched is a router that pbr watch runs on.
type watched struct {
	*lab.Net
	t      *testing.T
	router *router
	lan    *lab.Host
	cmd    *exec.Cmd
	log    *monitor
	// logBefore is the length of the log when pbr watch was started.
	logBefore int
	// env is added to pbr watch's environment, wrap is a command that starts it.
	env, wrap []string
}

// newWatched builds the network of watchPolicy, with that many providers, without starting
// anything.
func newWatched(t *testing.T, policy string, providers int) *watched {
	t.Helper()
	spec := lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)}}
	for i := range providers {
		spec.ISPs = append(spec.ISPs, lab.ISP(i+1))
	}
	return newWatchedNet(t, policy, spec)
}

// newWatchedNet builds a network, without starting anything.
func newWatchedNet(t *testing.T, policy string, spec lab.Spec) *watched {
	t.Helper()
	n := lab.Build(lab.New(t), spec)
	for _, isp := range n.ISPs {
		isp.ServeInternet()
		// What probes and clients send to these addresses can be dropped by name.
		isp.NFT(`table inet trouble {
	set dead { type ipv4_addr; flags interval; }
	set dead6 { type ipv6_addr; flags interval; }
	chain pre { type filter hook prerouting priority -350; ip daddr @dead drop; ip6 daddr @dead6 icmpv6 type echo-request drop; }
}
`)
	}
	w := &watched{Net: n, t: t, router: newRouter(n.Router), lan: n.LANs["lan"], log: &monitor{}}
	w.router.write(policy)
	t.Cleanup(func() {
		if w.cmd != nil {
			w.stop()
		}
		if t.Failed() {
			t.Logf("pbr watch said:\n%s", w.log.text())
		}
	})
	return w
}

// startWatched starts pbr watch, and waits until every provider has proven itself.
func startWatched(t *testing.T, policy string, providers int) *watched {
	t.Helper()
	w := newWatched(t, policy, providers)
	w.start()
	for i := range providers {
		w.waitState(fmt.Sprintf("isp%d", i+1), "up")
	}
	return w
}

// start starts pbr watch.
func (w *watched) start() {
	w.t.Helper()
	args := append(slices.Clone(w.wrap), pbrPath, "--config", w.router.file, "watch")
	cmd := w.Router.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), w.env...)
	cmd.Stderr, w.logBefore = w.log, len(w.log.text())
	if err := w.Router.Start(cmd); err != nil {
		w.t.Fatalf("starting pbr watch: %v", err)
	}
	w.cmd = cmd
}

// stop ends pbr watch, which must be no error.
func (w *watched) stop() {
	w.t.Helper()
	// Before it handles signals, SIGTERM ends it as any program.
	lab.Eventually(lab.Patience(2*time.Second), w.begun)
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	if err := w.wait(); err != nil {
		w.t.Errorf("pbr watch ended with %v", err)
	}
}

// begun reports whether pbr watch has done anything since it was started: it has written to its
// log, or to its lock.
func (w *watched) begun() bool {
	lock, _ := os.ReadFile(filepath.Join(w.Router.StateDir(), "lock"))
	return len(w.log.text()) > w.logBefore || strings.HasPrefix(string(lock), fmt.Sprintf("%d ", w.cmd.Process.Pid))
}

// kill ends pbr watch as nobody wants to be ended.
func (w *watched) kill() {
	w.t.Helper()
	_ = w.cmd.Process.Kill()
	_ = w.wait()
}

func (w *watched) wait() error {
	cmd := w.cmd
	w.cmd = nil
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(lab.Patience(30 * time.Second)):
		_ = cmd.Process.Kill()
		return errors.New("it did not end by itself")
	}
}

// statusJSON is the part of pbr status --json that the tests read.
type statusJSON struct {
	Watch   *struct{ PID int }
	Uplinks []uplinkJSON
	Tables  []struct {
		Name   string
		Active []struct {
			Family      int
			Destination string
			Uplinks     []string
		}
	}
}

type uplinkJSON struct {
	Name, Interface, State string
	Usable                 bool
	RTT                    float64 `json:"rtt_ms"`
	Loss                   float64
	Flaps, Connections     int
	LastFailure            string     `json:"last_failure"`
	HeldUntil              *time.Time `json:"held_until"`
	Versions               map[string]struct {
		State  string
		Usable bool
	}
}

func (w *watched) status() (s statusJSON, code int) {
	w.t.Helper()
	res := w.router.pbr("status", "--json")
	if res.Code != 0 && res.Code != 3 {
		w.t.Fatalf("pbr status: exit status %d\n%s", res.Code, res.Stderr)
	}
	if err := json.Unmarshal([]byte(res.Stdout), &s); err != nil {
		w.t.Fatalf("pbr status --json: %v\n%s", err, res.Stdout)
	}
	return s, res.Code
}

// state returns an uplink's state, empty while nobody tells.
func (w *watched) state(uplink string) string {
	w.t.Helper()
	s, _ := w.status()
	if s.Watch == nil {
		return ""
	}
	for _, u := range s.Uplinks {
		if u.Name == uplink {
			return u.State
		}
	}
	return ""
}

func (w *watched) waitState(uplink, state string) {
	w.t.Helper()
	lab.WaitFor(w.t, uplink+" to be "+state, func() bool { return w.state(uplink) == state })
}

// logged waits for a log line that has all the words.
func (w *watched) logged(words ...string) {
	w.t.Helper()
	lab.WaitFor(w.t, fmt.Sprintf("a log line with %q", words), func() bool { return w.logLine(words...) != "" })
}

func (w *watched) logLine(words ...string) string {
	for _, line := range strings.Split(w.log.text(), "\n") {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return line
		}
	}
	return ""
}

// dead makes addresses of a provider's internet silent, alive lets them answer again.
func (w *watched) dead(isp string, addrs ...string) { w.trouble("add", isp, addrs) }

func (w *watched) alive(isp string, addrs ...string) { w.trouble("delete", isp, addrs) }

func (w *watched) trouble(verb, isp string, addrs []string) {
	w.t.Helper()
	for _, a := range addrs {
		set := "dead"
		if strings.Contains(a, ":") {
			set = "dead6"
		}
		w.ISPs[isp].Run("nft", verb, "element", "inet", "trouble", set, "{", a, "}")
	}
}

// silence makes a provider deaf as a whole, ARP included, with its carrier up; speak ends it.
func (w *watched) silence(isp string) {
	w.t.Helper()
	w.ISPs[isp].NFT("table netdev deaf { chain in { type filter hook ingress device up0 priority 0; policy drop; }\n}\n")
}

func (w *watched) speak(isp string) {
	w.t.Helper()
	w.ISPs[isp].NFT("delete table netdev deaf\n")
}

// calls are TCP connections that stay open.
type calls struct {
	t     *testing.T
	conns []*lab.Conn
	by    string
}

// calls opens n connections from a LAN host, all of which have to arrive at a provider.
func (w *watched) calls(n int, src netip.Addr, isp string) *calls {
	w.t.Helper()
	dst := farEnd
	if src.Is6() {
		dst = netip.MustParseAddrPort("[2001:db8:ffff::99]:7777")
	}
	c := &calls{t: w.t, by: isp}
	for range n {
		conn, err := w.lan.Dial("tcp", src, dst, lab.DialOptions{})
		if err != nil {
			w.t.Fatalf("calling by %s: %v", isp, err)
		}
		if seen, err := conn.Ask(); err != nil || seen.By != isp {
			w.t.Fatalf("a call went to %q (%v), not to %s\n%s", seen.By, err, isp, w.routesText())
		}
		c.conns = append(c.conns, conn)
	}
	return c
}

// broken returns how many of the calls do not work any more, and forgets these.
func (c *calls) broken() int {
	n := 0
	c.conns = slices.DeleteFunc(c.conns, func(conn *lab.Conn) bool {
		seen, err := conn.Ask()
		if err == nil && seen.By == c.by {
			return false
		}
		n++
		return true
	})
	return n
}

// stillUp fails the test if one of the calls broke.
func (c *calls) stillUp(when string) {
	c.t.Helper()
	all := len(c.conns)
	if n := c.broken(); n > 0 {
		c.t.Errorf("%s: %d of %d connections by %s broke", when, n, all, c.by)
	}
}

// arrives returns which provider a new connection of a LAN host gets to, empty if none.
func (w *watched) arrives(src netip.Addr) string {
	w.t.Helper()
	dst := farEnd
	if src.Is6() {
		dst = netip.MustParseAddrPort("[2001:db8:ffff::99]:7777")
	}
	seen, err := w.lan.AskOnce("tcp", src, dst, lab.DialOptions{})
	if err != nil {
		return ""
	}
	return seen.By
}

// waitArrives waits until new connections of a host go to a provider.
func (w *watched) waitArrives(src netip.Addr, isp string) {
	w.t.Helper()
	lab.WaitFor(w.t, fmt.Sprintf("connections of %s to arrive at %q", src, isp), func() bool { return w.arrives(src) == isp })
}

func (w *watched) waitAnswered(s *lab.Stream, isp string) {
	w.t.Helper()
	if !lab.Eventually(lab.Patience(10*time.Second), func() bool { return s.Tale().Last == isp }) {
		w.t.Fatalf("a stream is not answered by %s: %v\n%s", isp, s.Tale(), w.routesText())
	}
}

func (w *watched) routesText() string {
	return w.router.Run("ip", "rule") + w.router.Run("ip", "route", "show", "table", "all", "proto", ownProtocol) +
		w.router.Exec("conntrack", "-L").Stdout
}

// fromOutside opens a connection from a provider's internet to a server on the router.
func (w *watched) fromOutside(isp string) *calls {
	w.t.Helper()
	i := slices.IndexFunc(w.Spec.ISPs, func(s lab.ISPSpec) bool { return s.Name == isp })
	dst := netip.AddrPortFrom(w.Spec.ISPs[i].Router4.Addr(), serverPort)
	conn, err := w.ISPs[isp].Dial("tcp", netip.MustParseAddr("8.8.4.4"), dst, lab.DialOptions{})
	if err != nil {
		w.t.Fatalf("from outside by %s: %v\n%s", isp, err, w.routesText())
	}
	c := &calls{t: w.t, conns: []*lab.Conn{conn}, by: "router"}
	c.stillUp("just opened from outside by " + isp)
	return c
}

// socket is the path of the control socket.
func (w *watched) socket() string { return filepath.Join(w.Router.StateDir(), "control") }

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// httpGet fetches /metrics from an address.
func httpGet(t *testing.T, network, address string) string {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		DisableKeepAlives: true,
	}}
	res, err := client.Get("http://pbr/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", res.Status, err)
	}
	return string(body)
}

// dialRouter connects to the router from the router.
func (w *watched) dialRouter(address string) (conn net.Conn, err error) {
	w.Router.Do(func() { conn, err = net.Dial("tcp", address) })
	return conn, err
}

// metrics fetches the metrics from the router's loopback.
func (w *watched) metrics(address string) string {
	w.t.Helper()
	conn, err := w.dialRouter(address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
		w.t.Fatal(err)
	}
	body, err := io.ReadAll(conn)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body)
}
