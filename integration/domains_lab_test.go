package integration

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pbr/integration/lab"
)

// domainPolicy is watchPolicy, and names below example.com by the second provider or not at all.
const domainPolicy = `
[lists]
streams = { domains = ["example.com"], timeout = "1h" }
` + watchPolicy + `
[[policy]]
name = "streams"
dst = "@streams"
uplink = "isp2"
strict = true
`

// named is a router with lists of domains and a resolver.
type named struct {
	*watched
	// dir has the resolver's files.
	dir string
	// resolver is the address that clients ask, asker the client's.
	resolver netip.AddrPort
	asker    netip.Addr
}

// newNamed builds the network of a policy with lists of domains, with pbr watch running.
func newNamed(t *testing.T, policy string) *named {
	t.Helper()
	lab.NeedProgram(t, "dnsmasq", "unbound")
	n := &named{watched: startWatched(t, policy, 2), dir: t.TempDir(),
		resolver: netip.MustParseAddrPort("192.168.10.1:53"), asker: byDefault}
	n.waitTapped()
	return n
}

// waitTapped waits until pbr watch shows that it reads DNS answers.
func (n *named) waitTapped() {
	n.t.Helper()
	lab.WaitFor(n.t, "pbr watch to read DNS answers", n.alive)
}

// waitSilent waits until the sign of life of a watch that is gone is gone, too.
func (n *named) waitSilent() {
	n.t.Helper()
	lab.WaitFor(n.t, "the sign of life to end", func() bool { return !n.alive() })
}

// alive reports whether there is a sign of life.
func (n *named) alive() bool {
	return strings.Contains(n.Router.Exec("nft", "list", "set", "inet", "pbr", "tap-alive").Stdout, "expires")
}

// address is that of a name: n7.example.com has 198.18.2.7 and 2001:db8:ffff::2:7.
func address(i int, six bool) netip.Addr {
	if six {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:ffff::%x:%x", 2+i/200, 1+i%200))
	}
	return netip.AddrFrom4([4]byte{198, 18, byte(2 + i/200), byte(1 + i%200)})
}

// hosts writes a file of names with their addresses.
func (n *named) hosts(count int, domain string) string {
	n.t.Helper()
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "%s n%d.%s\n%s n%[2]d.%[3]s\n", address(i, false), i, domain, address(i, true))
	}
	file := filepath.Join(n.dir, "hosts-"+domain)
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return file
}

// daemon runs a program on a host until the test ends.
func (n *named) daemon(h *lab.Host, name string, args ...string) *exec.Cmd {
	n.t.Helper()
	cmd := h.Command(name, args...)
	said := &monitor{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := h.Start(cmd); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if n.t.Failed() {
			n.t.Logf("%s said:\n%s", name, said.text())
		}
	})
	return cmd
}

// dnsmasq runs one on a host, that knows the names of files.
func (n *named) dnsmasq(h *lab.Host, hosts []string, args ...string) {
	n.t.Helper()
	if err := os.Chmod(n.dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	for _, file := range hosts {
		args = append(args, "--addn-hosts="+file)
	}
	n.daemon(h, "dnsmasq", append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts",
		"--no-resolv", "--user=root", "--log-facility=-",
		"--pid-file="}, args...)...)
	n.waitServed(n.resolver)
}

// waitServed waits until a resolver answers the client.
func (n *named) waitServed(at netip.AddrPort) {
	n.t.Helper()
	lab.WaitFor(n.t, "a resolver at "+at.String(), func() bool {
		_, err := n.ask("udp", at, "served.test", dns.TypeA, nil)
		return err == nil
	})
}

// ask asks a resolver from the LAN, and returns its answer. edit may change the question.
func (n *named) ask(network string, at netip.AddrPort, name string, kind uint16, edit func(*dns.Msg)) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	if edit != nil {
		edit(q)
	}
	conn, err := n.dialLAN(network, at)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := &dns.Conn{Conn: conn, UDPSize: 4096}
	_ = conn.SetDeadline(time.Now().Add(lab.Patience(2 * time.Second)))
	if err := c.WriteMsg(q); err != nil {
		return nil, err
	}
	return c.ReadMsg()
}

// dialLAN connects from the client.
func (n *named) dialLAN(network string, at netip.AddrPort) (conn net.Conn, err error) {
	n.lan.Do(func() {
		d := net.Dialer{Timeout: lab.Patience(2 * time.Second)}
		from := n.asker
		if at.Addr().Is6() {
			from = netip.MustParseAddr("2001:db8:10::10")
		}
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
		} else {
			d.LocalAddr = &net.UDPAddr{IP: from.AsSlice()}
		}
		conn, err = d.Dial(network, at.String())
	})
	return conn, err
}

// addresses are those of an answer.
func addresses(m *dns.Msg) (out []netip.Addr) {
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			a, _ := netip.AddrFromSlice(rr.A.To4())
			out = append(out, a)
		case *dns.AAAA:
			a, _ := netip.AddrFromSlice(rr.AAAA.To16())
			out = append(out, a)
		}
	}
	return out
}

// connects connects to an address the moment it is called, and returns the provider that answers.
func (n *named) connects(to netip.Addr) string {
	from := n.asker
	if to.Is6() {
		from = netip.MustParseAddr("2001:db8:10::10")
	}
	seen, err := n.lan.AskOnce("udp", from, netip.AddrPortFrom(to, 7777), lab.DialOptions{})
	if err != nil {
		return err.Error()
	}
	return seen.By
}

// firstConnections asks for names, connects to each address the moment the answer is read, and
// counts by which provider the first connection goes.
func (n *named) firstConnections(network string, at netip.AddrPort, from, count int, domain string, kind uint16,
	edit func(*dns.Msg)) map[string]int {
	n.t.Helper()
	by := map[string]int{}
	for i := from; i < from+count; i++ {
		m, err := n.ask(network, at, fmt.Sprintf("n%d.%s", i, domain), kind, edit)
		if err != nil {
			by["no answer: "+err.Error()]++
			continue
		}
		for _, a := range addresses(m) {
			by[n.connects(a)]++
		}
	}
	return by
}

// members returns the members of a list's set.
func (n *named) members(set string) string {
	n.t.Helper()
	return n.Router.Run("nft", "list", "set", "inet", "pbr", set)
}
