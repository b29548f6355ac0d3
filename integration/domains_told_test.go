package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
	"pbr/kernel/tap"
)

// What keeps names from being learned is reported, by doctor with what repairs it, by status and
// check.
func TestDomainsTold(t *testing.T) {
	t.Parallel()
	lab.NeedProgram(t, "dnsmasq")
	n := &named{watched: newWatched(t, domainPolicy, 2), dir: t.TempDir(),
		resolver: netip.MustParseAddrPort("192.168.10.1:53"), asker: byDefault}
	conf := filepath.Join(n.dir, "pbr.conf")
	policy := strings.Replace(domainPolicy, "[lists]\n", fmt.Sprintf("[pbr]\nqueue = 78\ndnsmasq = %q\n[lists]\n", conf), 1)
	n.router.write(policy)
	n.says("check", "addresses that dnsmasq puts into lists have no timeout and stay; "+
		"a full set takes no more (size: streams 65536, each for IPv4 and IPv6)")
	t.Run("a dnsmasq without nftset", func(t *testing.T) {
		fake := filepath.Join(n.dir, "dnsmasq")
		if err := os.WriteFile(fake,
			[]byte("#!/bin/sh\necho 'Dnsmasq version 2.85  Copyright'\necho 'Compile time options: IPv6 "+
				"ipset no-nftset'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		with := func(args string) lab.Result {
			return n.Router.Exec("unshare", "--mount", "sh", "-c",
				fmt.Sprintf("mount --bind %s $(command -v dnsmasq) && exec %s --config %s %s", fake, pbrPath, n.router.file, args))
		}
		if res := with("apply"); res.Code != 1 ||
			!strings.Contains(res.Stderr, "dnsmasq 2.85 cannot fill nftables sets, and would not start with "+conf) {
			t.Errorf("pbr apply: exit status %d\n%s", res.Code, res.Stderr)
		}
		if _, err := os.Stat(conf); err == nil {
			t.Error("a file is written that the dnsmasq of this machine does not start with")
		}
		if res := with("doctor"); res.Code != 1 ||
			!strings.Contains(res.Stdout, "dnsmasq 2.85 cannot fill nftables sets") ||
			!strings.Contains(res.Stdout, "install a dnsmasq with nftset") {
			t.Errorf("pbr doctor: exit status %d\n%s", res.Code, res.Stdout)
		}
	})
	n.router.must("flush")
	n.dnsmasq(n.Router, nil)
	n.router.must("apply")
	n.says("doctor", "started before "+conf+" was written: it does not know its names - systemctl restart dnsmasq",
		"dnsmasq alone fills them")
	n.says("status", "nothing reads them while pbr watch does not run")
	// As the file of an earlier boot, and sets that are recreated.
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(conf, long, long); err != nil {
		t.Fatal(err)
	}
	n.says("doctor", "started before the sets were made: names that it had in its cache then are missing until "+
		"it asks for them again - systemctl restart dnsmasq")

	// Another program has both the queue and the log group.
	taken := n.take(78)
	n.start()
	n.waitState("isp1", "up")
	n.says("status", "first connection not guaranteed: DNS answers cannot be read: queue 78: "+
		"another program has bound it, and log group 78: another program has bound it")
	n.says("doctor", "they stay empty: DNS answers cannot be read: queue 78",
		"if another program has bound queue 78, end it or set another [pbr] queue; then restart pbr watch")
	taken()
	n.stop()
	n.start()
	n.waitTapped()
	if _, err := n.ask("udp", n.resolver, "other.test", 1, nil); err != nil {
		t.Fatal(err)
	}
	n.says("status", "DNS answers are held until their addresses are known", "1 to other hosts, the last one ")
	n.unsays("doctor", "started before the sets", "port 853", "port 443")

	// A client that encrypts what it asks, and one that asks a web server.
	for _, to := range []string{"203.0.113.53:853", "1.1.1.1:443", "203.0.113.80:443"} {
		if _, err := n.lan.AskOnce("udp", byDefault, netip.MustParseAddrPort(to), lab.DialOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	n.says("doctor", byDefault.String()+" has connections to port 853 of 203.0.113.53 (DNS over TLS or QUIC)",
		`proto = ["tcp", "udp"], dport = 853, action = "unreachable"`,
		byDefault.String()+" has connections to port 443 of 1.1.1.1 (DNS over HTTPS",
		`dst = ["1.1.1.1"], proto = ["tcp", "udp"], dport = 443, action = "unreachable"`)
	n.unsays("doctor", "203.0.113.80")
}

// A pbr watch that gets no more memory ends, and DNS continues without it.
func TestDomainsOutOfMemory(t *testing.T) {
	t.Parallel()
	n := newNamed(t, domainPolicy)
	n.instant()
	n.waitServed(n.resolver)
	if err := unix.Prlimit(n.cmd.Process.Pid, unix.RLIMIT_DATA, &unix.Rlimit{}, nil); err != nil {
		t.Fatal(err)
	}
	// Addresses that it remembers, until it cannot.
	ended := make(chan struct{})
	go func() { defer close(ended); _ = n.wait() }()
	for from := 0; ; from += 5_000 {
		n.teach(from%95_000, 5_000)
		select {
		case <-ended:
		default:
			continue
		}
		break
	}
	if text := n.log.text(); !strings.Contains(text, "out of memory") && !strings.Contains(text, "cannot allocate memory") {
		t.Errorf("pbr watch did not end for lack of memory:\n%s", text)
	}
	if lost := n.flood(1000, 2*time.Second); lost > 0 {
		t.Errorf("%d of 1000 answers are lost without pbr watch", lost)
	}
}

// take binds a queue and a log group until what it returns is called.
func (n *named) take(number uint16) (leave func()) {
	n.t.Helper()
	var bound []*tap.Listener
	n.Router.Do(func() {
		for _, open := range []func(uint16) (*tap.Listener, error){tap.OpenQueue, tap.OpenLog} {
			l, err := open(number)
			if err != nil {
				n.t.Error(err)
				continue
			}
			bound = append(bound, l)
		}
	})
	return func() {
		for _, l := range bound {
			_ = l.Close()
		}
	}
}

// says fails unless a command says each of some words.
func (n *named) says(command string, words ...string) {
	n.t.Helper()
	res := n.router.pbr(command)
	for _, w := range words {
		if !strings.Contains(res.Stdout, w) {
			fmt.Println(n.Router.Exec("sh", "-c",
				"pgrep -a dnsmasq; for p in $(pgrep dnsmasq); do readlink /proc/$p/ns/net; cat /proc/$p/comm; "+
					"done; readlink /proc/self/ns/net"))
			n.t.Errorf("pbr %s does not say %q:\n%s%s", command, w, res.Stdout, res.Stderr)
		}
	}
}

// unsays fails if a command says one of some words.
func (n *named) unsays(command string, words ...string) {
	n.t.Helper()
	res := n.router.pbr(command)
	for _, w := range words {
		if strings.Contains(res.Stdout, w) {
			n.t.Errorf("pbr %s says %q:\n%s", command, w, res.Stdout)
		}
	}
}
