package integration

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"pbr/integration/lab"
	"pbr/integration/steps"
	"pbr/kernel/tap"
)

// The first connection to each of 500 names that nobody asked for before already goes right.
func TestDomainsFirstConnection(t *testing.T) {
	t.Parallel()
	n := newNamed(t, domainPolicy)
	n.dnsmasq(n.Router, []string{n.hosts(500, "example.com"), n.hosts(10, "example.org")})
	if by := n.firstConnections("udp", n.resolver, 0, 500, "example.com", dns.TypeA, nil); !cmp.Equal(by, map[string]int{"isp2": 500}) {
		t.Errorf("first connections: %v", by)
	}
	if by := n.firstConnections("udp", n.resolver, 0, 20, "example.com", dns.TypeAAAA, nil); !cmp.Equal(by, map[string]int{"isp2": 20}) {
		t.Errorf("first connections, IPv6: %v", by)
	}
}

// DNS continues whatever happens to pbr watch: killed, stopped by a signal, or starved of processor
// time.
func TestDomainsNeverStopDNS(t *testing.T) {
	n := newNamed(t, domainPolicy) // alone: others' load would be mistaken for a failure
	n.dnsmasq(n.Router, []string{n.hosts(200, "example.com")})
	flow := func(when string) {
		t.Helper()
		lab.WaitFor(t, "answers after pbr watch was "+when, func() bool {
			_, err := n.ask("udp", n.resolver, "n1.example.com", dns.TypeA, nil)
			return err == nil
		})
		if lost := n.flood(1000, 2*time.Second); lost > 0 {
			t.Errorf("%s: %d of 1000 later answers are lost", when, lost)
		}
	}
	pid := n.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// Only what is asked while the sign of life is there is lost, and not more than the queue
	// takes.
	if lost := n.flood(9000, 2*time.Second); lost > tap.QueueLength {
		t.Errorf("stopped: %d of 9000 answers are lost", lost)
	}
	flow("stopped")
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.waitTapped()
	n.learns(100, "after it was stopped")
	n.kill()
	flow("killed")
	n.waitSilent()
	n.start()
	n.waitTapped()
	n.learns(110, "after it was killed")
	n.hog(n.cmd.Process.Pid)
	if lost := n.flood(9000, 5*time.Second); lost > tap.QueueLength {
		t.Errorf("starved: %d of 9000 answers are lost", lost)
	}
}

// flood asks for n names as quickly as the resolver answers, and returns how many answers do not
// come before there is nothing for a while.
func (n *named) flood(count int, patience time.Duration) (lost int) {
	n.t.Helper()
	return n.askMany(count, patience, func(i int) string { return fmt.Sprintf("n%d.example.com.", i%200) })
}

// teach asks for names from a number on that have an address each, of a resolver that instant runs.
func (n *named) teach(from, count int) {
	n.t.Helper()
	n.askMany(count, time.Second, func(i int) string { return fmt.Sprintf("w%05d.example.com.", from+i) })
}

// askMany is flood for any names.
func (n *named) askMany(count int, patience time.Duration, name func(int) string) (lost int) {
	n.t.Helper()
	conn, err := n.dialLAN("udp", n.resolver)
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	const window = 100 // questions that wait for an answer at a time
	answered, asked := make(map[uint16]bool, count), 0
	b := make([]byte, 4096)
	for len(answered)+lost < count {
		for ; asked < count && asked-len(answered)-lost < window; asked++ {
			q := new(dns.Msg)
			q.SetQuestion(name(asked), dns.TypeA)
			q.Id = uint16(asked)
			text, err := q.Pack()
			if err == nil {
				_, err = conn.Write(text)
			}
			if err != nil {
				n.t.Fatal(err)
			}
		}
		_ = conn.SetReadDeadline(time.Now().Add(lab.Patience(patience)))
		got, err := conn.Read(b)
		if err != nil {
			lost = asked - len(answered) // none of these comes any more
			continue
		}
		if got > 2 {
			answered[binary.BigEndian.Uint16(b)] = true
		}
	}
	return lost
}

// learns fails unless the first connection to one of ten names that nobody asked for goes right: a
// reader that has just begun, on a busy machine, may let an answer pass.
func (n *named) learns(from int, when string) {
	n.t.Helper()
	var last map[string]int
	for i := from; i < from+10; i++ {
		last = n.firstConnections("udp", n.resolver, i, 1, "example.com", dns.TypeA, nil)
		if cmp.Equal(last, map[string]int{"isp2": 1}) {
			return
		}
	}
	n.t.Errorf("%s: no first connection goes right, the last one: %v", when, last)
}

// hog keeps the processors busy with what goes before a process, until the test ends.
func (n *named) hog(pid int) {
	n.t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		id, _ := strconv.Atoi(filepath.Base(task))
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, 19)
	}
	for range 2 * runtime.NumCPU() {
		n.daemon(n.lan, "nice", "-n", "-10", "sh", "-c", "while :; do :; done")
	}
}

// dnsmasq fills the sets by itself, with no pbr watch, from the file that apply writes; names below
// others are in the lists of both.
func TestDomainsDnsmasqAlone(t *testing.T) {
	t.Parallel()
	lab.NeedProgram(t, "dnsmasq")
	n := &named{watched: newWatched(t, domainPolicy, 2), dir: t.TempDir(),
		resolver: netip.MustParseAddrPort("192.168.10.1:53"), asker: byDefault}
	conf := filepath.Join(n.dir, "pbr.conf")
	policy := strings.Replace(domainPolicy, "[lists]\n",
		fmt.Sprintf("[pbr]\ndnsmasq = %q\n[lists]\ndeep = { domains = [\"*.deep.example.com\"] }\n", conf), 1)
	n.router.write(policy)
	step := steps.Of(t)
	step.Run("an apply that changes the file says to restart dnsmasq", func(t *testing.T) {
		if res := n.router.pbr("apply"); res.Code != 0 || !strings.Contains(res.Stderr, "restart dnsmasq") {
			t.Fatalf("pbr apply: exit status %d\n%s", res.Code, res.Stderr)
		}
	})
	step.Run("compile prints the file", func(t *testing.T) {
		sets := "4#inet#pbr#list-deep-4,6#inet#pbr#list-deep-6,4#inet#pbr#list-streams-4,6#inet#pbr#list-streams-6"
		if printed := n.router.must("compile", "--format", "dnsmasq"); printed != readFile(t, conf) ||
			!strings.Contains(printed, "nftset=/deep.example.com/"+sets+"\n") {
			t.Errorf("the file differs from what compile prints:\n%s", printed)
		}
	})
	step.Run("without a change there is nothing to say", func(t *testing.T) {
		if res := n.router.pbr("apply"); res.Code != 0 || strings.Contains(res.Stderr, "restart dnsmasq") {
			t.Errorf("pbr apply again: exit status %d\n%s", res.Code, res.Stderr)
		}
	})
	// dnsmasq adds what an upstream answers, and nothing that it knows itself.
	step.Run("the first connection goes right without a watch, and members are no difference", func(t *testing.T) {
		n.elsewhere()
		n.Router.IP("route add 198.18.53.0/24 via 192.0.2.1")
		n.dnsmasq(n.Router, nil, "--conf-file="+conf, "--server="+unboundAt.Addr().String())
		if by := n.firstConnections("udp", n.resolver, 0, 20, "example.com", dns.TypeA, nil); !cmp.Equal(by, map[string]int{"isp2": 20}) {
			t.Errorf("first connections without pbr watch: %v", by)
		}
		if text := n.members("list-streams-4"); strings.Contains(text, "expires") {
			t.Errorf("a member that dnsmasq put in ends:\n%s", text)
		}
		if res := n.router.pbr("diff"); res.Code != 0 {
			t.Errorf("pbr diff: %s", res.Stdout)
		}
	})
	// A watch that starts gives them the list's time, so that they leave.
	step.Run("a watch that starts gives members a time", func(t *testing.T) {
		n.start()
		lab.WaitFor(t, "members that dnsmasq put in to get a time", func() bool {
			text := n.members("list-streams-4")
			return strings.Count(text, "expires") == len(n.elements("list-streams-4")) && len(n.elements("list-streams-4")) >= 20
		})
		if res := n.router.pbr("diff"); res.Code != 0 {
			t.Errorf("pbr diff after the watch gave members a time: %s", res.Stdout)
		}
		n.stop()
	})
	// Another program's file stays.
	step.Run("another program's file stays", func(t *testing.T) {
		if err := os.WriteFile(conf, []byte("cache-size=0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if res := n.router.pbr("apply"); res.Code != 1 || !strings.Contains(res.Stderr, "is not pbr's file") ||
			readFile(t, conf) != "cache-size=0\n" {
			t.Errorf("exit status %d: %s", res.Code, res.Stderr)
		}
		n.router.must("flush")
		if readFile(t, conf) != "cache-size=0\n" {
			t.Error("pbr flush took another program's file away")
		}
	})
	step.Run("flush takes pbr's own file away", func(t *testing.T) {
		if err := os.Remove(conf); err != nil {
			t.Fatal(err)
		}
		n.router.must("apply")
		n.router.must("flush")
		if _, err := os.Stat(conf); err == nil {
			t.Error("pbr flush leaves the file of dnsmasq")
		}
	})
}

// The queue of another program is left alone: answers are copied instead, which status and doctor
// say; and when it is free, they are held again.
func TestDomainsQueueTaken(t *testing.T) {
	t.Parallel()
	lab.NeedProgram(t, "dnsmasq")
	policy := strings.Replace(domainPolicy, "[lists]\n", "[pbr]\nqueue = 77\n[lists]\n", 1)
	n := &named{watched: newWatched(t, policy, 2), dir: t.TempDir(), resolver: netip.MustParseAddrPort("192.168.10.1:53"), asker: byDefault}
	var other *tap.Listener
	var err error
	n.Router.Do(func() { other, err = tap.OpenQueue(77) })
	if err != nil {
		t.Fatal(err)
	}
	n.start()
	n.waitTapped()
	n.dnsmasq(n.Router, []string{n.hosts(20, "example.com")})
	step := steps.Of(t)
	step.Run("answers are copied instead of held", func(t *testing.T) {
		if text := n.Router.Run("nft", "list", "chain", "inet", "pbr", "tap"); !strings.Contains(text, "log group 77") {
			t.Errorf("answers are not copied:\n%s", text)
		}
	})
	const said = "first connection not guaranteed"
	step.Run("status says so", func(t *testing.T) {
		if res := n.router.pbr("status"); !strings.Contains(res.Stdout, said) || !strings.Contains(res.Stdout, "queue 77") {
			t.Errorf("pbr status does not say so:\n%s", res.Stdout)
		}
	})
	step.Run("doctor says so", func(t *testing.T) {
		if res := n.router.pbr("doctor"); !strings.Contains(res.Stdout, "log group 77") {
			t.Errorf("pbr doctor does not say so:\n%s", res.Stdout)
		}
	})
	step.Run("it is not a difference", func(t *testing.T) {
		if res := n.router.pbr("diff"); res.Code != 0 {
			t.Errorf("pbr diff: exit status %d\n%s", res.Code, res.Stdout)
		}
	})
	step.Run("the second connection goes right", func(t *testing.T) {
		if _, err := n.ask("udp", n.resolver, "n3.example.com", dns.TypeA, nil); err != nil {
			t.Fatal(err)
		}
		lab.WaitFor(t, "the second connection to go right", func() bool { return n.connects(address(3, false)) == "isp2" })
	})
	step.Run("when the queue is free, a reload takes it", func(t *testing.T) {
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		lab.WaitFor(t, "answers to be held", func() bool { return !strings.Contains(n.router.must("status"), said) })
		n.waitTapped()
		n.learns(10, "after the queue was given back")
	})
}

// pbr watch asks for the names itself, when it starts and when an answer is too old.
func TestDomainsAsked(t *testing.T) {
	t.Parallel()
	lab.NeedProgram(t, "dnsmasq")
	n := &named{watched: newWatched(t, strings.Replace(domainPolicy, `"example.com"`,
		`"n1.example.com", "n2.example.com"`, 1), 2), dir: t.TempDir(),
		resolver: netip.MustParseAddrPort("192.168.10.1:53"), asker: byDefault}
	n.dnsmasq(n.Router, []string{n.hosts(5, "example.com")})
	conf := filepath.Join(n.dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.wrap = []string{"unshare", "--mount", "sh", "-c", "mount --bind " + conf + ` /etc/resolv.conf && exec "$@"`, "sh"}
	n.start()
	n.waitTapped()
	has := func() bool {
		return cmp.Equal(n.elements("list-streams-4"), []string{"198.18.2.2", "198.18.2.3"}) && len(n.elements("list-streams-6")) == 2
	}
	lab.WaitFor(t, "the names to have addresses", has)
	n.Router.Run("nft", "flush", "set", "inet", "pbr", "list-streams-4")
	lab.WaitFor(t, "the names to be asked for again", has)
}
