package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

var recordIdle = flag.Bool("record-idle", false, "write what an idle watch costs into "+idleRecord)

// idleRecord has what an idle watch cost last, by the number of uplinks.
const idleRecord = "testdata/idle.json"

const (
	// idleWarm is how long a daemon has run when it is examined, idleFor how long that lasts.
	idleWarm = 20 * time.Second
	idleFor  = 30 * time.Second
	// idleMore is how much more than recorded is too much: of the ratio of CPU times, which was
	// seen to move by a factor of two with the machine's load, and of the memory, which hardly
	// moves.
	idleMore, idleMoreMemory = 2.5, 1.1
)

// idleCost is what a daemon that checks uplinks each second costs.
type idleCost struct {
	// Ratio is its CPU time, as a part of the script's that does the same; RSS is in KiB.
	Ratio float64 `json:"ratio"`
	RSS   int     `json:"rss_kib"`
}

// manyLines is how many uplinks a daemon with many has.
const manyLines = 200

// BenchmarkIdle compares what checking uplinks once a second takes with a script that pings them,
// and with what it took when that was recorded (-record-idle).
func BenchmarkIdle(b *testing.B) {
	recorded := map[string]idleCost{}
	if text, err := os.ReadFile(idleRecord); err == nil {
		if err := json.Unmarshal(text, &recorded); err != nil {
			b.Fatal(err)
		}
	}
	now := map[string]idleCost{}
	for _, n := range []int{2, manyLines} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				cost, limit := idleOf(b, n), recorded[fmt.Sprint(n)]
				now[fmt.Sprint(n)] = cost
				if *recordIdle {
					continue
				}
				if limit.Ratio > 0 && cost.Ratio > idleMore*limit.Ratio {
					b.Errorf("CPU time is %.4f of the script's, recorded were %.4f", cost.Ratio, limit.Ratio)
				}
				if limit.RSS > 0 && float64(cost.RSS) > idleMoreMemory*float64(limit.RSS) {
					b.Errorf("RSS is %d KiB, recorded were %d", cost.RSS, limit.RSS)
				}
			}
		})
	}
	if *recordIdle {
		text, err := json.MarshalIndent(now, "", "\t")
		if err == nil {
			err = os.WriteFile(idleRecord, append(text, '\n'), 0o644)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// idleOf measures a daemon with some uplinks.
func idleOf(b *testing.B, n int) (cost idleCost) {
	router, file, script := idleLab(b, n)
	ours := func() time.Duration {
		log := &output{}
		cmd, stop := started(b, router, log, program, "--config", file, "watch")
		defer stop()
		lab.WaitFor(b, "all uplinks to be up", func() bool { return len(log.lines(0, `"to":"up"`)) >= n })
		time.Sleep(idleWarm)
		before := threadTime(b, cmd.Process.Pid)
		time.Sleep(idleFor)
		spent := threadTime(b, cmd.Process.Pid) - before
		cost.RSS = rss(b, cmd.Process.Pid)
		b.ReportMetric(spent.Seconds()*float64(time.Hour/idleFor), "CPU-s/h")
		b.ReportMetric(float64(cost.RSS)/1024, "RSS-MiB")
		return spent
	}
	theirs := func() time.Duration {
		cmd, stop := started(b, router, &output{}, "sh", "-c", script)
		defer stop()
		before := cpuTime(b, cmd.Process.Pid)
		time.Sleep(idleFor)
		return cpuTime(b, cmd.Process.Pid) - before
	}
	compareTimes(b, fmt.Sprintf("CPU, %v of %d uplinks checked each second / script", idleFor, n), 1, ours, theirs)
	cost.Ratio = results[len(results)-1].ratios[0]
	return cost
}

// idleLab builds a router with uplinks whose gateways answer pings.
func idleLab(b *testing.B, n int) (router *lab.Host, file, script string) {
	l := lab.New(b)
	router, world := l.Host("router"), l.Host("world")
	var links, here, there []string
	var policy, loop strings.Builder
	policy.WriteString("[pbr]\nmark-mask = 0xffff0000\n[watch]\nlog = \"json\"\n")
	loop.WriteString("while :; do\n")
	for i := range n {
		dev, net := fmt.Sprintf("line%d", i), fmt.Sprintf("10.200.%d.%d", i/64, 4*(i%64))
		a := netip.MustParseAddr(net)
		far, near := a.Next(), a.Next().Next()
		links = append(links, fmt.Sprintf("link add %s type veth peer name %s netns %s", dev, dev, world.NS))
		here = append(here, fmt.Sprintf("addr add %s/30 dev %s", near, dev), "link set "+dev+" up")
		there = append(there, fmt.Sprintf("addr add %s/30 dev %s", far, dev), "link set "+dev+" up")
		fmt.Fprintf(&policy, "[[uplink]]\nname = \"up%d\"\ninterface = %q\ngateway = %q\ncheck = \"ping\"\n", i, dev, far)
		fmt.Fprintf(&loop, "ping -n -c 1 -W 1 -I %s %s >/dev/null &\n", dev, far)
	}
	policy.WriteString("[default]\nroutes = [{ uplink = \"up0\" }, { uplink = \"up1\", distance = 2 }]\n")
	loop.WriteString("sleep 1; wait\ndone\n")
	router.IP(append(links, here...)...)
	world.IP(there...)
	file = filepath.Join(b.TempDir(), "pbr.toml")
	save(b, file, []byte(policy.String()))
	return router, file, loop.String()
}

// threadTime is the CPU time of a program's threads, in nanoseconds (the first number of schedstat,
// Documentation/scheduler/sched-stats.rst).
func threadTime(b *testing.B, pid int) (sum time.Duration) {
	b.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		b.Fatalf("no threads: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		n, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(n)
	}
	return sum
}

// rss is a program's resident memory in KiB (proc(5), VmRSS).
func rss(b *testing.B, pid int) (kib int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		b.Fatal(err)
	}
	return kib
}

// cpuTime reads utime, stime, cutime and cstime (proc(5), fields 14 to 17 of stat), in hundredths
// of a second (USER_HZ).
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	words := bufio.NewScanner(bytes.NewReader(text[bytes.LastIndexByte(text, ')')+1:]))
	words.Split(bufio.ScanWords)
	var ticks time.Duration
	for field := 3; words.Scan(); field++ {
		if field >= 14 && field <= 17 {
			n, err := strconv.Atoi(words.Text())
			if err != nil {
				b.Fatal(err)
			}
			ticks += time.Duration(n)
		}
	}
	return ticks * 10 * time.Millisecond
}
