package integration

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pbr/integration/lab"
)

// monitor is a running `nft monitor` or `ip monitor`.
type monitor struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (m *monitor) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buf.Write(p)
}

func (m *monitor) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buf.String()
}

// quickLook is how long to look for something that is there at once or never.
const quickLook = 100 * time.Millisecond

// watch starts a monitor on the router; it ends with the test.
func (r *router) watch(name string, args ...string) *monitor {
	r.T().Helper()
	m := &monitor{}
	cmd := r.Command(name, args...)
	cmd.Stdout = m
	if err := r.Start(cmd); err != nil {
		r.T().Fatalf("starting %s: %v", name, err)
	}
	r.T().Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return m
}

// nothingBetween makes a foreign change, runs f, makes another, and fails the test if the monitor
// tells of anything in between. The changes prove that the monitor is awake.
func nothingBetween(t *testing.T, m *monitor, change func(n int) (mark string), f func()) {
	t.Helper()
	var before, after string
	// The monitor may not listen yet: repeat the first change until it tells of one.
	n := 0
	lab.WaitFor(t, "a monitor to tell of a change", func() bool {
		n++
		before = change(n)
		return lab.Eventually(quickLook, func() bool { return strings.Contains(m.text(), before) })
	})
	seen := len(m.text())
	f()
	after = change(n + 1)
	lab.WaitFor(t, "a monitor to tell of another change", func() bool { return strings.Contains(m.text()[seen:], after) })
	between := m.text()[seen:]
	between, _, _ = strings.Cut(between, after)
	// Of the line that tells of the second change, and of the first one's generation, nothing
	// counts.
	for _, line := range strings.Split(between, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "# new generation") &&
			!strings.HasPrefix(line, "add table ip") && line != "blackhole" {
			t.Errorf("between two foreign changes a monitor tells of: %s", line)
		}
	}
	if n := strings.Count(between, "# new generation"); n > 1 {
		t.Errorf("%d nftables transactions between two foreign changes:\n%s", n-1, between)
	}
}

// An apply that changes nothing sends nothing.
func TestSecondApplyIsSilent(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	nft := r.watch("nft", "monitor")
	ip := r.watch("ip", "monitor", "route", "rule", "link", "address")
	nothingBetween(t, nft, func(n int) string {
		r.Run("nft", "add", "table", "ip", fmt.Sprintf("sentinel%d", n))
		return fmt.Sprintf("sentinel%d", n)
	}, func() {
		nothingBetween(t, ip, func(n int) string {
			dst := fmt.Sprintf("192.88.99.%d", n)
			r.Run("ip", "route", "add", "blackhole", dst, "table", "77")
			return dst
		}, func() {
			for range 2 {
				r.must("apply")
			}
		})
	})
}

// Reading commands send nothing either.
func TestReadersAreSilent(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	r.write(twoUplinks + oneMorePolicy)
	before := r.ours()
	if res := r.pbr("diff"); res.Code != 2 {
		t.Errorf("pbr diff: exit status %d, not 2\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	r.must("check")
	r.must("compile", "--dry-run")
	r.must("compile", "--dry-run", "--live")
	if d := diffLines(before, r.ours()); d != "" {
		t.Errorf("a command that only reads has changed something:\n%s", d)
	}
}

var counterPattern = regexp.MustCompile(`(?s)counter (\S*host\S*) \{.*?packets (\d+)`)

// counts returns the packets of the counters of twoUplinks' policies.
func (r *router) counts() map[string]string {
	r.T().Helper()
	out := map[string]string{}
	for _, m := range counterPattern.FindAllStringSubmatch(r.Run("nft", "list", "counters", "table", "inet", "pbr"), -1) {
		out[m[1]] = m[2]
	}
	return out
}

// Counters keep counting through an apply, and open connections stay open.
func TestApplyKeepsCountersAndConnections(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), threeISPs())
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	n.LANs["lan"].IP("addr add 192.168.10.11/24 dev up0")
	r := newRouter(n.Router)
	r.apply(twoUplinks)
	c, err := n.LANs["lan"].Dial("tcp", netip.MustParseAddr("192.168.10.11"), netip.MustParseAddrPort("9.9.9.9:443"), lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Ask()
	if err != nil || first.By != "isp2" {
		t.Fatalf("first answer: %+v, %v", first, err)
	}
	before := r.counts()
	if len(before) != 1 {
		t.Fatalf("counters: %v", before)
	}
	for name, packets := range before {
		if packets != "1" {
			t.Errorf("counter %s counts %s first packets, not 1", name, packets)
		}
	}
	for _, policy := range []string{twoUplinks + oneMorePolicy, twoUplinks} {
		r.apply(policy)
		after := r.counts()
		for name, packets := range before {
			if after[name] != packets {
				t.Errorf("counter %s had %s packets, has %s", name, packets, after[name])
			}
		}
		if again, err := c.Ask(); err != nil || again != first {
			t.Errorf("the open connection: %+v, %v; was %+v", again, err, first)
		}
	}
}
