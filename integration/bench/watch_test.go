package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	lib "github.com/ti-mo/conntrack"

	"pbr/integration/lab"
	"pbr/kernel"
	"pbr/kernel/conntrack"
)

// twoUplinks is the policy of the failovers; the first is default's primary.
const twoUplinks = `
[check]
interval = "100ms"
timeout = "300ms"
down-after = 2
up-after = 1
[watch]
log = "json"
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
nat = "masquerade"
[[table]]
name = "to-isp1"
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "first"
src = "192.168.10.11"
table = "to-isp1"
`

// output gathers what a program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

// lines are the whole ones that contain words, printed since a length of the text.
func (o *output) lines(since int, words string) (found []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.buf.String()[since:]
	for _, line := range strings.Split(text[:strings.LastIndexByte(text, '\n')+1], "\n") {
		if strings.Contains(line, words) {
			found = append(found, line)
		}
	}
	return found
}

func (o *output) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Len()
}

// failing is a router with a line that dies again and again.
type failing struct {
	*lab.Net
	b    *testing.B
	file string
	// routes is what ip monitor says.
	routes *output
	// away are the commands that take isp1 out of use, as a script has them.
	away []string
}

func newFailing(b *testing.B) *failing {
	n := lab.Build(lab.New(b), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
		isp.NFT("table inet trouble { set dead { type ipv4_addr; }\n" +
			"chain pre { type filter hook prerouting priority -350; ip daddr @dead drop; }\n}\n")
	}
	f := &failing{Net: n, b: b, file: filepath.Join(b.TempDir(), "pbr.toml"), routes: &output{}}
	save(b, f.file, []byte(twoUplinks))
	started(b, n.Router, f.routes, "ip", "-4", "monitor", "route")
	f.apply()
	f.away = f.whatGoes()
	return f
}

// started starts a program that ends with the benchmark, or by the function that is returned.
func started(b *testing.B, h *lab.Host, out *output, name string, args ...string) (cmd *exec.Cmd, stop func()) {
	b.Helper()
	cmd = h.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	// A script's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := h.Start(cmd); err != nil {
		b.Fatalf("starting %s: %v", name, err)
	}
	stop = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	})
	b.Cleanup(stop)
	return cmd, stop
}

func (f *failing) apply() { f.Router.Run(program, "--config", f.file, "apply") }

// listing is the IPv4 routes over isp1 that are pbr's (protocol 112), one a line.
func (f *failing) listing() []string {
	out := f.Router.Run("ip", "-4", "-o", "route", "show", "table", "all", "proto", "112", "dev", "wan1")
	return strings.Split(strings.TrimSpace(out), "\n")
}

// whatGoes finds out which routes leave with isp1: those that pbr watch removes when it is told to.
func (f *failing) whatGoes() (commands []string) {
	f.b.Helper()
	before := f.listing()
	stop := f.watch()
	f.Router.Run(program, "--config", f.file, "uplink", "isp1", "down")
	left := "\n" + strings.Join(f.listing(), "\n") + "\n"
	for _, route := range before {
		if !strings.Contains(left, "\n"+route+"\n") {
			commands = append(commands, "ip route del "+strings.TrimSpace(route)+" dev wan1 proto 112")
		}
	}
	f.Router.Run(program, "--config", f.file, "uplink", "isp1", "auto")
	stop()
	f.apply()
	if len(commands) == 0 {
		f.b.Fatal("no route leaves with isp1")
	}
	return commands
}

// watch starts pbr watch and waits until isp1 is up.
func (f *failing) watch() (stop func()) {
	f.b.Helper()
	_, stop, _ = f.watchLogged()
	return stop
}

func (f *failing) watchLogged() (cmd *exec.Cmd, stop func(), log *output) {
	f.b.Helper()
	log = &output{}
	cmd, stop = started(f.b, f.Router, log, program, "--config", f.file, "watch")
	f.waitUp()
	return cmd, stop, log
}

// waitUp waits until the watch has isp1 up. An apply without a watch goes by what the last one left.
func (f *failing) waitUp() {
	f.b.Helper()
	f.wait("isp1 to be up", func() bool {
		var status struct {
			Watch   *struct{ PID int }
			Uplinks []struct{ Name, State string }
		}
		text := f.Router.Exec(program, "--config", f.file, "status", "--json").Stdout
		return json.Unmarshal([]byte(text), &status) == nil && status.Watch != nil &&
			len(status.Uplinks) > 0 && status.Uplinks[0].State == "up"
	})
}

func (f *failing) wait(what string, condition func() bool) {
	f.b.Helper()
	lab.WaitFor(f.b, what, condition)
}

// waitGone waits until ip monitor has seen isp1's routes go.
func (f *failing) waitGone(since int) {
	f.b.Helper()
	f.wait("isp1's routes to go", func() bool {
		return len(f.routes.lines(since, "Deleted default via 192.0.2.1")) >= len(f.away)
	})
}

func (f *failing) trouble(verb string) {
	f.ISPs["isp1"].Run("nft", verb, "element", "inet", "trouble", "dead", "{ 9.9.9.9 }")
}

// BenchmarkDecision compares the time from the last counted probe to the route gone from the
// kernel. Both tell it themselves: the daemon, which has the kernel's answer then, in its log, for
// both IP versions; the script, for IPv4 alone, by bash's clock.
func BenchmarkDecision(b *testing.B) {
	f := newFailing(b)
	script := "ping -n -c 1 -W 0.3 -I wan1 9.9.9.9 >/dev/null || {\nbegan=$EPOCHREALTIME\n" +
		strings.Join(f.away, "\n") + "\necho $began $EPOCHREALTIME\n}\n"
	ours := func() time.Duration {
		_, stop, log := f.watchLogged()
		defer stop()
		since, said := f.routes.len(), log.len()
		f.trouble("add")
		defer f.waitUp()
		defer f.trouble("delete")
		f.waitGone(since)
		const words = `"msg":"routes updated for the uplinks' health"`
		f.wait("the log", func() bool { return len(log.lines(said, words)) > 0 })
		var event struct {
			Took time.Duration `json:"took_ns"`
		}
		if err := json.Unmarshal([]byte(log.lines(said, words)[0]), &event); err != nil {
			b.Fatal(err)
		}
		return event.Took
	}
	theirs := func() time.Duration {
		f.apply()
		since := f.routes.len()
		f.trouble("add")
		defer f.trouble("delete")
		res := f.Router.ExecInput(script, "bash")
		var began, ended float64
		if _, err := fmt.Sscan(res.Stdout, &began, &ended); err != nil {
			b.Fatalf("the script: %s %v", res.Stderr, err)
		}
		f.waitGone(since)
		return time.Duration((ended - began) * float64(time.Second))
	}
	for b.Loop() {
		compareTimes(b, "last counted probe to route gone / script", rounds, ours, theirs)
	}
}

// streamByISP1 starts a stream of a packet each millisecond whose connection is isp1's: the line may
// be found dead for a moment after its carrier came back.
func (f *failing) streamByISP1() (s *lab.Stream) {
	f.b.Helper()
	f.wait("a stream that begins by isp1", func() bool {
		s = f.LANs["lan"].Stream(netip.Addr{}, netip.MustParseAddrPort("198.18.0.99:7777"), time.Millisecond)
		f.wait("its first answer", func() bool { return len(s.Tale().By) > 0 })
		if s.Tale().By["isp1"] > 0 {
			return true
		}
		s.Stop()
		return false
	})
	return s
}

// BenchmarkCarrier compares the silence of a running stream, a packet a millisecond, whose line
// loses its carrier.
func BenchmarkCarrier(b *testing.B) {
	f := newFailing(b)
	// What the routes of a dead link would do by themselves is switched off: it is the daemon that
	// is measured.
	script := "ip -o monitor link | while read -r line; do case $line in *wan1*NO-CARRIER*)\n" + strings.Join(f.away, "\n") +
		"\nconntrack -D -q 192.0.2.2 >/dev/null 2>&1 ;;\nesac; done\n"
	silence := func() time.Duration {
		s := f.streamByISP1()
		// The kernel may tell of a link's change up to a second late when another was shortly
		// before (LW_INTERVAL, net/core/link_watch.c): the last one has to be long ago, for both
		// sides. By then the script listens, too.
		f.wait("a stream by isp1", func() bool { return s.Tale().By["isp1"] > 4000 })
		f.ISPs["isp1"].IP("link set up0 down")
		f.wait("the stream to go by isp2", func() bool { return s.Tale().Last == "isp2" })
		tale := s.Stop()
		f.ISPs["isp1"].IP("link set up0 up")
		f.ISPs["isp1"].IP6("addr replace 2001:db8:f1::1/64 dev up0")
		f.wait("the carrier", func() bool { return !strings.Contains(f.Router.Run("ip", "link", "show", "wan1"), "NO-CARRIER") })
		// A watch that begins before would find the line dead for a moment, and the next stream with it.
		f.wait("an answer by isp1", func() bool { return f.Router.Exec("ping", "-c", "1", "-W", "0.3", "-I", "wan1", "9.9.9.9").Code == 0 })
		return tale.Gap
	}
	ours := func() time.Duration {
		defer f.watch()()
		defer f.waitUp()
		return silence()
	}
	theirs := func() time.Duration {
		f.apply()
		out := &output{}
		_, stop := started(b, f.Router, out, "sh", "-c", script)
		defer stop()
		return silence()
	}
	for b.Loop() {
		compareTimes(b, "carrier lost to traffic by the next / script", rounds, ours, theirs)
	}
}

// crowd is how many connections the dead uplink has, and as many has another.
const crowd = 100_000

// BenchmarkFlush compares flushing a crowd of connections by their mark.
func BenchmarkFlush(b *testing.B) {
	h := lab.New(b).Host("router")
	var table *lib.Conn
	var k *kernel.Kernel
	var err error
	h.Do(func() {
		if table, err = lib.Dial(nil); err == nil {
			k, err = kernel.Open(kernel.DefaultStateDir)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = table.Close(); _ = k.Close() })
	fill := func(mark uint32) {
		for i := range crowd {
			src := netip.AddrFrom4([4]byte{10, byte(mark>>12) | byte(i>>16), byte(i >> 8), byte(i)})
			if err := table.Create(lib.NewFlow(17, 0, src, netip.MustParseAddr("8.8.8.8"), 1000, 443, 600, mark)); err != nil {
				b.Fatal(err)
			}
		}
	}
	left := func() {
		if stats, err := table.StatsGlobal(); err != nil || stats.Entries > crowd+crowd/100 || stats.Entries < crowd {
			b.Fatalf("%d connections are left, %d have to be: %v", stats.Entries, crowd, err)
		}
	}
	fill(0x020000)
	ours := func() time.Duration {
		fill(0x010000)
		began := time.Now()
		h.Do(func() { _, err = k.FlushConnections([]conntrack.Flush{{Mark: 0x010000, Mask: 0xff0000}}, nil) })
		took := time.Since(began)
		if err != nil {
			b.Fatal(err)
		}
		left()
		return took
	}
	theirs := func() time.Duration {
		fill(0x010000)
		began := time.Now()
		h.Run("sh", "-c", "conntrack -D -m 0x010000/0xff0000 >/dev/null 2>&1")
		took := time.Since(began)
		left()
		return took
	}
	for b.Loop() {
		compareTimes(b, "100,000 connections flushed / conntrack -D", 3, ours, theirs)
	}
}
