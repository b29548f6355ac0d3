package healthcheck

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
)

// manyLines joins a router and a host that has every address by n lines, each with a mark and a
// table of its own, and returns how to check them.
func manyLines(t testing.TB, n int) (*SocketProber, *lab.Host, []Config) {
	l := lab.New(t)
	router, far := l.Host("router"), l.Host("far")
	far.Sysctl("net/ipv4/conf/all/rp_filter", "0")
	far.Sysctl("net/ipv4/icmp_ratelimit", "0")
	var configs []Config
	for i := range n {
		near, end := fmt.Sprintf("wan%d", i), fmt.Sprintf("up%d", i)
		l.Veth(router, near, far, end)
		mark := uint32(i+1) << 16
		table := 1000 + i
		router.IP(
			fmt.Sprintf("addr add 10.%d.0.2/24 dev %s", i, near),
			fmt.Sprintf("addr add 2001:db8:%x::2/64 dev %s", i, near),
			fmt.Sprintf("route add default via 10.%d.0.1 dev %s table %d", i, near, table),
			fmt.Sprintf("rule add fwmark %#x lookup %d", mark, table),
		)
		router.IP6(
			fmt.Sprintf("route add default via 2001:db8:%x::1 dev %s table %d", i, near, table),
			fmt.Sprintf("rule add fwmark %#x lookup %d", mark, table),
		)
		far.IP(fmt.Sprintf("addr add 10.%d.0.1/24 dev %s", i, end), fmt.Sprintf("addr add 2001:db8:%x::1/64 dev %s", i, end))
		configs = append(configs, Config{
			UplinkVersion: UplinkVersion{Uplink: fmt.Sprintf("isp%d", i)}, Interface: near, Mark: mark,
			Method: MethodPing, IPv4: true, IPv6: true,
			Gateway4: netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), Gateway6: netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", i)),
			Interval: 100 * time.Millisecond, Timeout: time.Second,
		})
	}
	far.IP("route add local 0.0.0.0/0 dev lo table main")
	far.IP6("route add local ::/0 dev lo table main")
	p := NewProber()
	p.enter = router.Do
	return p, far, configs
}

// openFiles counts the descriptors of this process.
func openFiles(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// start runs a monitor; stop ends it.
func start(t testing.TB, m *Monitor) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestNothingLeaks runs before the parallel tests, and so alone: it counts what belongs to the
// whole process.
func TestNothingLeaks(t *testing.T) {
	p, far, configs := manyLines(t, 6)
	for i, method := range []string{MethodPing, MethodARP, MethodTCP, MethodDNS, MethodHTTP} {
		c := &configs[i]
		c.Interval, c.Timeout, c.Method = 5*time.Millisecond, 500*time.Millisecond, method
		switch method {
		case MethodTCP: // refused by the kernel
			c.Targets = []string{"1.1.1.1:443", "[2001:db8::1]:443"}
		case MethodDNS: // unreachable port
			c.Targets = []string{"9.9.9.9"}
		case MethodHTTP:
			c.Targets = []string{"http://192.0.2.80/"}
		}
	}
	configs[5].Targets, configs[5].Interval, configs[5].Timeout = []string{"10.5.0.9", "10.5.0.10"}, 5*time.Millisecond,
		5*time.Millisecond // dead
	far.NFT("table inet wall {\n chain in {\n type filter hook input priority 0\n ip daddr 10.5.0.0/24 drop\n }\n}\n")
	rounds := func(m *Monitor, at int) func() bool {
		return func() bool {
			for _, s := range m.Statuses() {
				if s.Rounds < at {
					return false
				}
			}
			return true
		}
	}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 3 {
		m := NewMonitor(p)
		m.Set(configs, nil)
		stop := start(t, m)
		lab.WaitFor(t, "twenty rounds of every uplink", rounds(m, 20))
		for i, want := range []State{Up, Up, Up, Down, Down, Down} {
			if s := m.Statuses()[i]; s.State != want {
				t.Errorf("%s (%s): %+v, want %s", s.Uplink, configs[i].Method, s, want)
			}
		}
		m.Set(configs[1:], nil)
		m.Set(configs, nil)
		lab.WaitFor(t, "the uplink that came back", rounds(m, 1))
		stop()
	}
	if !lab.Eventually(5*time.Second, func() bool { return runtime.NumGoroutine() <= goroutines && openFiles(t) <= files }) {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines and %d descriptors became %d and %d\n%s",
			goroutines, files, runtime.NumGoroutine(), openFiles(t), buf[:runtime.Stack(buf, true)])
	}
	if len(p.sockets) != 0 {
		t.Errorf("sockets left: %v", p.sockets)
	}
}

func TestAnUplinkDiesAndReturns(t *testing.T) {
	t.Parallel()
	p, far, configs := manyLines(t, 2)
	for i := range configs {
		configs[i].Interval, configs[i].Timeout, configs[i].Targets = 20*time.Millisecond, 500*time.Millisecond, []string{"8.8.8.8"}
	}
	m := NewMonitor(p)
	m.Set(configs, nil)
	defer start(t, m)()
	next := func(uplink string, to State) {
		t.Helper()
		select {
		case e := <-m.Events():
			if e.Uplink != uplink && uplink != "" || e.To != to {
				t.Fatalf("%+v, want %s %s", e, uplink, to)
			}
		case <-time.After(patience):
			t.Fatalf("no event, want %s %s", uplink, to)
		}
	}
	next("", Up)
	next("", Up)
	// Beyond the gateway of one line everything dies; the other one continues.
	far.NFT("table inet wall {\n chain in {\n type filter hook input priority 0\n iifname up1 ip daddr 8.8.8.8 drop\n }\n}\n")
	next("isp1", Down)
	far.NFT("delete table inet wall\n")
	next("isp1", Up)
	for _, s := range m.Statuses() {
		if s.State != Up || s.RTT <= 0 || s.Loss > 0 {
			t.Errorf("%+v", s)
		}
	}
}

// counting counts the probes that a prober sends, and those that fail.
type counting struct {
	*SocketProber
	sent, failed atomic.Int64
}

func (c *counting) Probe(ctx context.Context, cfg Config, target string) (time.Duration, error) {
	rtt, err := c.SocketProber.Probe(ctx, cfg, target)
	c.sent.Add(1)
	if err != nil {
		c.failed.Add(1)
	}
	return rtt, err
}

// BenchmarkThousandProbes pings 1,000 targets every 100 ms over 20 uplinks for five seconds, on one
// core. The targets' answers are made in the same kernel, and are part of the CPU time.
func BenchmarkThousandProbes(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p, _, configs := manyLines(b, 20)
	for i := range configs {
		for n := range 50 {
			configs[i].Targets = append(configs[i].Targets, fmt.Sprintf("8.%d.8.%d", i, n+1))
		}
		configs[i].MaxLoss, configs[i].MaxRTT = 0.2, time.Second
	}
	counter := &counting{SocketProber: p}
	m := NewMonitor(counter)
	m.Set(configs, nil)
	defer start(b, m)()
	lab.WaitFor(b, "every uplink to be up", func() bool {
		for _, s := range m.Statuses() {
			if s.State != Up {
				return false
			}
		}
		return true
	})
	for b.Loop() {
		sent, failed, cpu, begin := counter.sent.Load(), counter.failed.Load(), cpuTime(b), time.Now()
		time.Sleep(5 * time.Second)
		took := time.Since(begin)
		b.ReportMetric(100*float64(cpuTime(b)-float64(cpu))/took.Seconds(), "cpu-%")
		b.ReportMetric(float64(counter.sent.Load()-sent)/took.Seconds(), "probes/s")
		b.ReportMetric(float64(counter.failed.Load()-failed), "lost")
	}
	for _, s := range m.Statuses() {
		if s.State != Up || !strings.HasPrefix(s.Uplink, "isp") {
			b.Errorf("%+v", s)
		}
	}
}

// cpuTime returns the seconds of CPU that this process has used.
func cpuTime(t testing.TB) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
