package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// longEnv, set to 1, makes TestWatchManyUplinks as long as it was meant: a minute with 200 uplinks.
const longEnv = "PBR_LONG"

// manyUplinks is a router with that many lines to one host, which is the internet.
type manyUplinks struct {
	*watched
	world *lab.Host
	n     int
	// cut, gone and lost tell what is wrong with each line: its carrier, its address, its answers.
	cut, gone, lost []bool
}

func startManyUplinks(t *testing.T, n int) *manyUplinks {
	t.Helper()
	l := lab.New(t)
	m := &manyUplinks{n: n, world: l.Host("world"), cut: make([]bool, n), gone: make([]bool, n), lost: make([]bool, n)}
	r := l.Host("router")
	m.watched = &watched{t: t, Net: &lab.Net{Lab: l, Router: r}, router: newRouter(r), log: &monitor{}}
	r.Sysctl("net/ipv4/ip_forward", "1")
	var links, here, there []string
	for i := range n {
		links = append(links, fmt.Sprintf("link add %s type veth peer name %s netns %s", line(i), line(i), m.world.NS))
		here = append(here, fmt.Sprintf("addr add %s/30 dev %s", routerAddr(i), line(i)), "link set "+line(i)+" up")
		there = append(there, fmt.Sprintf("addr add %s/30 dev %s", worldAddr(i), line(i)), "link set "+line(i)+" up")
	}
	r.IP(append(links, here...)...)
	m.world.IP(append(there, "addr add 9.9.9.9/32 dev lo")...)
	m.world.NFT("table inet trouble { set lines { type ifname; }\n" +
		"chain pre { type filter hook prerouting priority -350; iifname @lines icmp type echo-request drop; }\n}\n")
	m.router.write(manyPolicy(n))
	t.Cleanup(func() {
		if m.watched.cmd != nil {
			m.stop()
		}
		if t.Failed() {
			text := m.log.text()
			t.Logf("pbr watch said at last:\n%s", text[max(0, len(text)-20000):])
		}
	})
	m.start()
	lab.WaitFor(t, "all uplinks to be up", func() bool { return strings.Count(m.log.text(), "to=up") >= n })
	return m
}

func line(i int) string       { return fmt.Sprintf("line%d", i) }
func routerAddr(i int) string { return fmt.Sprintf("10.200.%d.%d", i/64, 4*(i%64)+2) }
func worldAddr(i int) string  { return fmt.Sprintf("10.200.%d.%d", i/64, 4*(i%64)+1) }

// manyPolicy has tables of every kind over the uplinks: one after the other, shared, and strict.
func manyPolicy(n int) string {
	var b strings.Builder
	b.WriteString("[pbr]\nmark-mask = 0xffff0000\n[check]\ninterval = \"100ms\"\ntimeout = \"300ms\"\n" +
		"down-after = 2\nup-after = 1\n[watch]\nmetrics = \"127.0.0.1:9811\"\n")
	var all []string
	for i := range n {
		fmt.Fprintf(&b, "[[uplink]]\nname = \"up%d\"\ninterface = %q\ngateway = %q\nnat = "+
			"\"masquerade\"\ncheck = { method = \"ping\", targets = \"9.9.9.9\" }\n", i, line(i), worldAddr(i))
		all = append(all, fmt.Sprintf("{ uplink = \"up%d\", distance = %d }", i, i+1))
	}
	for i := 0; i+4 <= n; i += 4 {
		fmt.Fprintf(&b, "[[table]]\nname = \"t%d\"\nstrict = %v\n"+
			"routes = [{ uplink = \"up%d\" }, { uplink = \"up%d\", weight = 2 }, "+
			"{ uplink = \"up%d\", distance = 2 }, { uplink = \"up%d\", distance = 3 }]\n",
			i, i%8 == 0, i, i+1, i+2, i+3)
		fmt.Fprintf(&b, "[[policy]]\nname = \"p%d\"\nsrc = \"10.1.%d.0/24\"\ntable = \"t%d\"\n", i, i, i)
	}
	fmt.Fprintf(&b, "[default]\nroutes = [%s]\n", strings.Join(all, ", "))
	return b.String()
}

// toggle changes one thing of one line.
func (m *manyUplinks) toggle(i, what int) {
	m.t.Helper()
	switch what {
	case 0:
		m.cut[i] = !m.cut[i]
		m.world.IP("link set " + line(i) + map[bool]string{true: " down", false: " up"}[m.cut[i]])
	case 1:
		m.gone[i] = !m.gone[i]
		m.Router.IP("addr " + map[bool]string{true: "del ", false: "add "}[m.gone[i]] + routerAddr(i) + "/30 dev " + line(i))
	default:
		m.lost[i] = !m.lost[i]
		m.world.Run("nft", map[bool]string{true: "add", false: "delete"}[m.lost[i]], "element", "inet", "trouble",
			"lines", "{", line(i), "}")
	}
}

var goroutinesPattern = regexp.MustCompile(`go_goroutines (\d+)`)

// resources counts what the daemon holds.
func (m *manyUplinks) resources() (goroutines, files int) {
	m.t.Helper()
	found := goroutinesPattern.FindStringSubmatch(m.metrics("127.0.0.1:9811"))
	if found == nil {
		m.t.Fatal("no count of goroutines")
	}
	goroutines, _ = strconv.Atoi(found[1])
	open, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(m.cmd.Process.Pid), "fd"))
	if err != nil {
		m.t.Fatal(err)
	}
	return goroutines, len(open)
}

// Many uplinks come and go at random, and the policy is reloaded meanwhile: afterwards the kernel
// holds exactly the plan, and the daemon holds no more than before.
func TestWatchManyUplinks(t *testing.T) {
	t.Parallel()
	n, length := 40, 6*time.Second
	if os.Getenv(longEnv) == "1" {
		n, length = 200, time.Minute
	}
	m := startManyUplinks(t, n)
	goroutines, files := m.resources()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	toggles := 0
	for began := time.Now(); time.Since(began) < length; toggles++ {
		m.toggle(random.IntN(n), random.IntN(3))
		if random.IntN(50) == 0 {
			m.hangUp()
		}
	}
	m.hangUp() // chance may have had none
	for i := range n {
		for what, wrong := range []bool{m.cut[i], m.gone[i], m.lost[i]} {
			if wrong {
				m.toggle(i, what)
			}
		}
	}
	m.logged("reloaded the policy")
	lab.WaitFor(t, "no link to be down", func() bool {
		s, _ := m.status()
		for _, u := range s.Uplinks {
			if u.State == "link-down" || u.State == "address-lost" {
				return false
			}
		}
		return true
	})
	lab.WaitFor(t, "the kernel to hold the plan", func() bool { return m.router.pbr("diff").Code == 0 })
	if line := m.logLine("level=ERROR"); line != "" {
		t.Errorf("an error: %s", line)
	}
	if line := m.logLine("somebody else changed"); line != "" {
		t.Errorf("it took its own, or the kernel's, doing for somebody else's: %s", line)
	}
	var nowGoroutines, nowFiles int
	if !lab.Eventually(10*time.Second, func() bool {
		nowGoroutines, nowFiles = m.resources()
		return nowGoroutines <= goroutines+5 && nowFiles <= files+5
	}) {
		t.Errorf("%d goroutines, %d open files; before it all %d and %d", nowGoroutines, nowFiles, goroutines, files)
	}
	s, _ := m.status()
	usable := 0
	for _, u := range s.Uplinks {
		if u.Usable {
			usable++
		}
	}
	t.Logf("%d changes of %d uplinks in %v; %d usable at the end, the others held; goroutines %d to %d, files %d to %d",
		toggles, n, length, usable, goroutines, nowGoroutines, files, nowFiles)
}
