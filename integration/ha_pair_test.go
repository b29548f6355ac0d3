package integration

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
)

// pair are the two routers of docs/ha.md, with the providers and the LAN as switches between them.
type pair struct {
	*lab.Lab
	t    *testing.T
	isps map[string]*lab.Host
	lan  *lab.Host
	a, b *pairRouter
}

type pairRouter struct {
	*watched
	name string
	// conntrackd is its configuration, told what the hook wrote of events.
	conntrackd, told string
}

// pairLines are the lines of docs/ha.md: interface, the provider's address, the shared one, and
// what is checked there.
var pairLines = []struct{ isp, wan, gateway, shared string }{
	{"isp1", "wan1", "192.0.2.1", "192.0.2.10"}, {"isp2", "wan2", "198.51.100.1", "198.51.100.10"},
}

// docsBlock returns the code block of a page that begins with these words.
func docsBlock(t *testing.T, page, begins string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```[a-z]*\n(" + regexp.QuoteMeta(begins) + ".*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("docs/%s has no block that begins with %q", page, begins)
	}
	return string(m[1])
}

// newPair builds the network and the routers, without starting anything.
func newPair(t *testing.T, policy string) *pair {
	t.Helper()
	lab.NeedProgram(t, "keepalived", "conntrackd")
	l := lab.New(t)
	p := &pair{Lab: l, t: t, isps: map[string]*lab.Host{}, lan: l.Host("lan")}
	p.lan.IP("link add up0 type bridge", "link set up0 up", "addr add 192.168.10.10/24 dev up0",
		"addr add 192.168.10.11/24 dev up0", "route add default via 192.168.10.1")
	p.lan.ServeEcho(serverPort)
	for _, line := range pairLines {
		isp := l.Host(line.isp)
		isp.IP("link add up0 type bridge", "link set up0 up", fmt.Sprintf("addr add %s/24 dev up0", line.gateway),
			"route add local 0.0.0.0/0 dev lo table main")
		isp.Sysctl("net/ipv4/ip_nonlocal_bind", "1")
		isp.ServeInternet()
		isp.NFT("table inet leaks {\n\tchain pre {\n\t\ttype filter hook prerouting priority -350\n\t\tip saddr != { " +
			line.shared + ", 127.0.0.0/8, " + line.gateway + " } counter name other\n\t}\n\tcounter other { }\n}\n")
		p.isps[line.isp] = isp
	}
	p.a, p.b = p.router("a", 2, policy), p.router("b", 3, policy)
	l.Veth(p.a.Router, "sync", p.b.Router, "sync")
	p.a.Router.IP("addr add 10.255.0.1/30 dev sync")
	p.b.Router.IP("addr add 10.255.0.2/30 dev sync")
	return p
}

// router makes one of the routers, number 2 or 3 of the LAN.
func (p *pair) router(name string, n int, policy string) *pairRouter {
	p.t.Helper()
	h := p.Host(name)
	r := &pairRouter{name: name, watched: &watched{Net: &lab.Net{Lab: p.Lab, Router: h}, t: p.t, router: newRouter(h), log: &monitor{}}}
	for wan, far := range map[string]*lab.Host{"lan": p.lan, "wan1": p.isps["isp1"], "wan2": p.isps["isp2"]} {
		p.Veth(h, wan, far, "to-"+name)
		far.IP("link set to-" + name + " master up0")
	}
	h.IP(fmt.Sprintf("addr add 192.168.10.%d/24 dev lan", n))
	for line := range strings.Lines(docsBlock(p.t, "ha.md", "net.netfilter.")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		h.Sysctl(strings.ReplaceAll(key, ".", "/"), value)
	}
	h.NFT(docsBlock(p.t, "ha.md", "table inet pair"))
	h.NFT(fmt.Sprintf("table ip servers {\n\tchain pre {\n\t\ttype nat hook prerouting priority "+
		"dstnat\n\t\tip daddr { 192.0.2.10, 198.51.100.10 } tcp dport %d dnat to 192.168.10.10\n\t}\n}\n", serverPort))
	dir := p.t.TempDir()
	r.told = filepath.Join(dir, "told")
	hook := filepath.Join(dir, "hook")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho $PBR_UPLINK $PBR_FROM $PBR_TO >>"+r.told+"\n"), 0o755); err != nil {
		p.t.Fatal(err)
	}
	r.router.write(policy + "\n[watch]\nhook = \"" + hook + "\"\n")
	p.t.Cleanup(func() {
		if r.cmd != nil {
			r.stop()
		}
		if p.t.Failed() {
			p.t.Logf("pbr watch of %s said:\n%s", name, r.log.text())
		}
	})
	return r
}

// run runs a daemon in the router until the test ends, with a configuration of docs/ha.md, changed
// for this router, and files in a directory of its own.
func (r *pairRouter) run(name, begins string, args func(conf, dir string) []string, changes ...string) (conf string) {
	r.t.Helper()
	dir, err := os.MkdirTemp("", "pbr-"+name+"-") // short: paths of sockets have 107 bytes
	if err != nil {
		r.t.Fatal(err)
	}
	conf = filepath.Join(dir, name+".conf")
	changes = append(changes, "/var/lock/", dir+"/", "/var/run/", dir+"/")
	if err := os.WriteFile(conf, []byte(strings.NewReplacer(changes...).Replace(docsBlock(r.t, "ha.md", begins))), 0o600); err != nil {
		r.t.Fatal(err)
	}
	cmd := r.Router.Command(name, args(conf, dir)...)
	said := &monitor{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.Router.Start(cmd); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { endGroup(cmd); _ = os.RemoveAll(dir); r.tell(name, said) })
	return conf
}

func (r *pairRouter) tell(name string, said *monitor) {
	if r.t.Failed() {
		r.t.Logf("%s of %s said:\n%s", name, r.name, said.text())
	}
}

func endGroup(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
}

func (r *pairRouter) startAll() {
	r.t.Helper()
	priority, places := "priority 150", []string{}
	if r.name == "b" {
		priority = "priority 100"
		places = []string{"10.255.0.1\n    IPv4_Dest", "10.255.0.2\n    IPv4_Dest", "Address 10.255.0.2",
			"Address 10.255.0.1", "192.168.10.2", "192.168.10.3"}
	}
	r.start()
	r.conntrackd = r.run("conntrackd", "Sync {", func(conf, dir string) []string { return []string{"-C", conf} }, places...)
	r.run("keepalived", "global_defs", func(conf, dir string) []string {
		return []string{"-n", "-l", "-P", "-f", conf, "-p", dir + "/pid", "-r", dir + "/vrrp"}
	}, "priority 150", priority, "conntrackd -n", "conntrackd -C "+r.conntrackd+" -n")
}

// cables takes all cables of a router away, at their other ends ("down"), or puts them back ("up").
func (p *pair) cables(r *pairRouter, way string) {
	other := map[string]*pairRouter{"a": p.b, "b": p.a}[r.name]
	other.Router.IP("link set sync " + way)
	for _, far := range []*lab.Host{p.isps["isp1"], p.isps["isp2"], p.lan} {
		far.IP("link set to-" + r.name + " " + way)
	}
}

// holds reports whether a router has all of the shared addresses, and the uplinks in use.
func (r *pairRouter) holds() bool {
	return r.state("isp1") == "up" && r.state("isp2") == "up"
}

// through is a connection through the pair, and how the far end sees it.
type through struct {
	what string
	conn *lab.Conn
	seen lab.Seen
}

// flows opens connections: TCP and UDP of both hosts, and from outside by both providers.
func (p *pair) flows(when string) (out []*through) {
	p.t.Helper()
	open := func(what, by string, from *lab.Host, network string, src netip.Addr, dst netip.AddrPort) {
		p.t.Helper()
		f := &through{what: when + ": " + what}
		var err error
		lab.WaitFor(p.t, f.what, func() bool {
			if f.conn, err = from.Dial(network, src, dst, lab.DialOptions{}); err != nil {
				return false
			}
			f.seen, err = f.conn.Ask()
			return err == nil
		})
		if f.seen.By != by {
			p.t.Errorf("%s is answered by %s, not %s", f.what, f.seen.By, by)
		}
		out = append(out, f)
	}
	for i, line := range pairLines {
		host := []netip.Addr{byDefault, bySecond}[i]
		for _, network := range []string{"tcp", "udp"} {
			open(network+" by "+line.isp, line.isp, p.lan, network, host, farEnd)
			if got := out[len(out)-1].seen.Src.Addr().String(); got != line.shared {
				p.t.Errorf("%s leaves from %s", out[len(out)-1].what, got)
			}
		}
		open("tcp from outside by "+line.isp, "lan", p.isps[line.isp], "tcp", netip.MustParseAddr("8.8.4.4"),
			netip.AddrPortFrom(netip.MustParseAddr(line.shared), serverPort))
	}
	return out
}

// goOn checks that connections continue as they were.
func (p *pair) goOn(flows []*through, when string) {
	p.t.Helper()
	for _, f := range flows {
		var seen lab.Seen
		var err error
		if !lab.Eventually(lab.Patience(20*time.Second), func() bool { seen, err = f.conn.Ask(); return err == nil }) {
			p.t.Errorf("%s: %s is not answered any more: %v", when, f.what, err)
		} else if seen != f.seen {
			p.t.Errorf("%s: %s was %v and is %v", when, f.what, f.seen, seen)
		}
	}
}

// leaks is how many packets the providers got from addresses that are not the shared ones.
func (p *pair) leaks() (n int) {
	for _, isp := range p.isps {
		m := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(isp.Run("nft", "list", "counter", "inet", "leaks", "other"))
		var one int
		_, _ = fmt.Sscan(m[1], &one)
		n += one
	}
	return n
}

// The pair of docs/ha.md, with its files: connections outlive that a router is cut off, and that it
// comes back.
func TestPairOfRouters(t *testing.T) {
	t.Parallel()
	p := newPair(t, docsBlock(t, "ha.md", "[pbr]\non-failover"))
	p.a.startAll()
	lab.WaitFor(t, "the first router", p.a.holds)
	p.b.startAll()
	p.standsBy(p.b)
	if line := p.b.logLine("level=WARN", "uplink"); line != "" {
		t.Errorf("a router that stands by warns: %s", line)
	}
	first := p.flows("at first")
	p.synced(p.b, first)
	p.cables(p.a, "down")
	second := p.flows("after the takeover")
	p.goOn(first, "after the takeover")
	lab.WaitFor(t, "the second router", p.b.holds)
	p.b.neverFailed()
	p.cables(p.a, "up")
	p.standsBy(p.b)
	third := p.flows("after the return")
	p.goOn(append(first, second...), "after the return")
	lab.WaitFor(t, "the first router again", p.a.holds)
	p.goOn(third, "in the end")
	if n := p.leaks(); n > 0 {
		t.Errorf("%d packets left from addresses that are not the shared ones", n)
	}
	for _, r := range []*pairRouter{p.a, p.b} {
		if line := r.logLine("flushed connections"); line != "" {
			t.Errorf("%s flushed connections: %s", r.name, line)
		}
	}
}

// standsBy waits until a router is the standby, which is not a failure.
func (p *pair) standsBy(r *pairRouter) {
	p.t.Helper()
	lab.WaitFor(p.t, r.name+" to stand by", func() bool { return r.state("isp1") == "standby" && r.state("isp2") == "standby" })
	lab.WaitFor(p.t, "the hook of "+r.name, func() bool {
		b, _ := os.ReadFile(r.told)
		return strings.Contains(string(b), "isp1 start standby\n") || strings.Contains(string(b), "isp1 up standby\n")
	})
	if s, code := r.status(); code != 0 || s.Uplinks[0].Usable || s.Uplinks[1].Usable {
		p.t.Errorf("%s stands by: exit status %d, %+v", r.name, code, s.Uplinks)
	}
}

// synced waits until a router's kernel knows connections of the other one.
func (p *pair) synced(r *pairRouter, flows []*through) {
	p.t.Helper()
	for _, f := range flows {
		port := fmt.Sprintf("sport=%d ", f.conn.LocalAddr().Port())
		lab.WaitFor(p.t, r.name+" to know "+f.what, func() bool { return strings.Contains(r.Router.Run("conntrack", "-L"), port) })
	}
}

// neverFailed checks that a router's lines did not go down on their way from standby to up.
func (r *pairRouter) neverFailed() {
	r.t.Helper()
	for line := range strings.Lines(r.router.must("status", "--events")) {
		if f := strings.Fields(line); len(f) > 5 && (f[5] == "down" || f[5] == "degraded" || f[5] == "unconfirmed" ||
			f[5] == "address-lost" || f[5] == "no-gateway") {
			r.t.Errorf("%s: %s", r.name, line)
		}
	}
}
