package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

const (
	// soakEnv is how long the soak takes, as "10m"; a minute without.
	soakEnv = "PBR_SOAK"
	// soakPause is between two changes.
	soakPause = 50 * time.Millisecond
	// soakGrowth is how much memory a watch may gain while nothing but states changes.
	soakGrowth = 1.3
)

// BenchmarkSoak lets uplinks of both IP versions flap, each version for itself and at random. In
// the end the kernel holds the plan, and the watch has not grown.
func BenchmarkSoak(b *testing.B) {
	long := time.Minute
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			b.Fatal(err)
		}
	}
	l := lab.New(b)
	router, world := l.Host("router"), l.Host("world")
	var links, here, there, here6, there6, routes []string
	var policy strings.Builder
	policy.WriteString("[pbr]\nmark-mask = 0xffff0000\n[check]\ninterval = \"500ms\"\ntimeout = \"400ms\"\ndown-after = 2\nup-after = 1\n")
	for i := range manyLines {
		dev := fmt.Sprintf("line%d", i)
		a := netip.MustParseAddr(fmt.Sprintf("10.200.%d.%d", i/64, 4*(i%64)))
		far, near := a.Next(), a.Next().Next()
		far6, near6 := fmt.Sprintf("2001:db8:%x::1", i), fmt.Sprintf("2001:db8:%x::2", i)
		links = append(links, fmt.Sprintf("link add %s type veth peer name %s netns %s", dev, dev, world.NS))
		here = append(here, fmt.Sprintf("addr add %s/30 dev %s", near, dev), "link set "+dev+" up")
		there = append(there, fmt.Sprintf("addr add %s/30 dev %s", far, dev), "link set "+dev+" up")
		here6 = append(here6, fmt.Sprintf("addr add %s/64 dev %s nodad", near6, dev))
		there6 = append(there6, fmt.Sprintf("addr add %s/64 dev %s nodad", far6, dev))
		fmt.Fprintf(&policy, "[[uplink]]\nname = \"up%d\"\ninterface = %q\ngateway = %q\ngateway6 = "+
			"%q\ncheck = \"ping\"\n", i, dev, far, far6)
		routes = append(routes, fmt.Sprintf("{ uplink = \"up%d\", distance = %d }", i, 1+i/4))
	}
	fmt.Fprintf(&policy, "[default]\nroutes = [%s]\n", strings.Join(routes, ", "))
	router.IP(links...)
	router.IP(append(here, here6...)...)
	world.IP(append(there, there6...)...)
	world.NFT("table inet dead { set four { type ifname; }\nset six { type ifname; }\n" +
		"chain in { type filter hook prerouting priority -350; " +
		"iifname @four ip protocol icmp drop; iifname @six icmpv6 type echo-request drop; }; }\n")
	file := filepath.Join(b.TempDir(), "pbr.toml")
	save(b, file, []byte(policy.String()))
	log := &output{}
	cmd, stop := started(b, router, log, program, "--config", file, "watch")
	defer stop()
	// An uplink that flapped often waits for up to five minutes.
	wait := func(what string, ok func() bool) {
		b.Helper()
		if !lab.Eventually(lab.Patience(7*time.Minute), ok) {
			b.Fatalf("waited in vain for %s:\n%s", what, router.Exec(program, "--config", file, "status").Stdout)
		}
	}
	all := func() bool { return router.Exec(program, "--config", file, "status").Code == 0 }
	wait("all uplinks to be up", all)
	for b.Loop() {
		dead := map[string]bool{}
		flap := func() {
			set, line := []string{"four", "six"}[rand.IntN(2)], fmt.Sprintf("line%d", rand.IntN(manyLines))
			verb := "add"
			if dead[set+line] {
				verb = "delete"
			}
			dead[set+line] = !dead[set+line]
			world.Run("nft", verb, "element", "inet", "dead", set, "{", line, "}")
		}
		soak := func(long time.Duration) {
			for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(soakPause) {
				flap()
			}
		}
		soak(long / 4) // buffers have their size
		before := resident(b, cmd.Process.Pid)
		soak(long * 3 / 4)
		after := resident(b, cmd.Process.Pid)
		world.NFT("flush set inet dead four\nflush set inet dead six\n")
		wait("all uplinks to be up again", all)
		wait("the kernel to hold the plan", func() bool { return router.Exec(program, "--config", file, "diff").Code == 0 })
		b.ReportMetric(float64(before)/1024, "MiB-before")
		b.ReportMetric(float64(after)/1024, "MiB-after")
		if float64(after) > soakGrowth*float64(before) {
			b.Errorf("pbr watch grew from %d to %d KiB", before, after)
		}
	}
}

// resident is a process's memory in KiB (VmRSS, proc_pid_status(5)).
func resident(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return n
}
