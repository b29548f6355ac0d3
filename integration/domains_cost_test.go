package integration

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pbr/integration/lab"
)

// costEnv has the cost measured: it needs an idle machine, and takes half a minute.
const costEnv = "PBR_COST"

// TestDomainsCost sends answers at a steady 10,000 a second, each with an address of its own, past
// pbr watch, and reports what they cost of its processor time; and how long a client waits for an
// answer, with pbr watch and without.
func TestDomainsCost(t *testing.T) {
	if os.Getenv(costEnv) == "" {
		t.Skipf("%s=1 measures what an answer costs, on an idle machine", costEnv)
	}
	n := newNamed(t, domainPolicy)
	n.instant()
	const rate, count = 10_000, 30_000
	before, begin := cpuTime(t, n.cmd.Process.Pid), time.Now()
	answered := n.paced(rate, count)
	used, took := cpuTime(t, n.cmd.Process.Pid)-before, time.Since(begin)
	learned := strings.Count(n.members("list-streams-4"), "expires")
	t.Logf("%d of %d answered, %d learned, in %v: %v of processor time, %v an answer, %.0f %% of a core", answered,
		count, learned, took, used,
		used/count, 100*used.Seconds()/(float64(count)/rate))
	with := n.median(2000, 0)
	n.kill()
	lab.WaitFor(t, "the sign of life to end", func() bool {
		return !strings.Contains(n.Router.Run("nft", "list", "set", "inet", "pbr", "tap-alive"), "expires")
	})
	t.Logf("median time to an answer: %v, and %v without pbr watch", with, n.median(2000, 2000))
	if used.Seconds() > 0.6*float64(count)/rate {
		t.Errorf("more than 60 %% of a core")
	}
}

// instant answers whatever is asked on the router: wN.example.com has an address of its own.
func (n *named) instant() {
	var conn net.PacketConn
	var err error
	n.Router.Do(func() { conn, err = net.ListenPacket("udp4", n.resolver.String()) })
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	go func() {
		q := make([]byte, 512)
		for {
			size, from, err := conn.ReadFrom(q)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(instantAnswer(q[:size]), from)
		}
	}()
}

// instantAnswer is the answer to a question for "wNNNNN.example.com": the address is the number.
func instantAnswer(q []byte) []byte {
	var i uint32
	for _, c := range q[14:19] {
		i = 10*i + uint32(c-'0')
	}
	a := append([]byte{}, q...)
	a[2], a[3], a[7] = 0x84, 0, 1
	a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4)
	return binary.BigEndian.AppendUint32(a, 198<<24|19<<16+i)
}

func instantQuestion(i int) []byte {
	m := new(dns.Msg)
	m.SetQuestion(fmt.Sprintf("w%05d.example.com.", i), dns.TypeA)
	b, _ := m.Pack()
	return b
}

// paced asks at a rate, and returns how many answers come.
func (n *named) paced(rate, count int) (answered int) {
	conn, err := n.dialLAN("udp", n.resolver)
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	done := make(chan int)
	go func() {
		got, b := 0, make([]byte, 512)
		for {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conn.Read(b); err != nil {
				done <- got
				return
			}
			got++
		}
	}()
	begin := time.Now()
	for i := range count {
		if ahead := time.Duration(i)*time.Second/time.Duration(rate) - time.Since(begin); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
		_, _ = conn.Write(instantQuestion(i))
	}
	return <-done
}

// median is the median time until an answer comes.
func (n *named) median(count, from int) time.Duration {
	conn, err := n.dialLAN("udp", n.resolver)
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	var all []time.Duration
	b := make([]byte, 512)
	for i := range count {
		begin := time.Now()
		_, _ = conn.Write(instantQuestion(40000 + from + i))
		_ = conn.SetReadDeadline(begin.Add(time.Second))
		if _, err := conn.Read(b); err == nil {
			all = append(all, time.Since(begin))
		}
	}
	if len(all) == 0 {
		n.t.Fatal("no answers")
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// cpuTime is what a process used of the processors.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text := readFile(t, fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	var user, system int64
	_, _ = fmt.Sscan(fields[11], &user)
	_, _ = fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * time.Second / 100 // USER_HZ
}
