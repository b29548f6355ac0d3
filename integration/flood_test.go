package integration

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"time"

	"pbr/integration/lab"
)

// kinds of flows, by where the policy sends them.
type kind struct {
	name string
	// src4 and src6 are the sender's addresses; invalid: the router sends.
	src4, src6 string
	dst4, dst6 string
	// isp is the provider that carries them with the table in force.
	isp string
}

var kinds = []kind{
	{"default", "192.168.10.10", "2001:db8:10::10", "198.18.1.1", "2001:db8:ffff::1", "isp1"},
	{"policy", "192.168.10.11", "2001:db8:10::11", "198.18.2.2", "2001:db8:ffff::2", "isp2"},
	{"strict", "192.168.10.12", "2001:db8:10::12", "198.18.4.4", "2001:db8:ffff::4", "isp2"},
	{"router, strict", "", "", "198.18.3.3", "2001:db8:ffff::3", "isp2"},
}

var packets = regexp.MustCompile(`counter packets (\d+)`)

// leaked returns how many packets of strict flows have come to isp1.
func (w *watched) leaked() (total int) { return packetsIn(w.ISPs["isp1"]) }

// packetsIn returns what the rules of a host's table leak have counted.
func packetsIn(h *lab.Host) (total int) {
	for _, m := range packets.FindAllStringSubmatch(h.Run("nft", "list", "table", "inet", "leak"), -1) {
		var n int
		_, _ = fmt.Sscan(m[1], &n)
		total += n
	}
	return total
}

// flood are UDP flows that continue whatever happens.
type flood struct {
	w     *watched
	conns []*lab.Conn
	stop  chan struct{}
	wait  sync.WaitGroup
}

// rates are packets a second.
var rates = []int{1, 2, 5, 20, 50, 200}

// flood starts flows of each kind and IP version, at the rates in turn.
func (w *watched) flood(each int) *flood {
	w.t.Helper()
	f := &flood{w: w, stop: make(chan struct{})}
	w.t.Cleanup(f.end)
	for i := range each {
		for _, k := range kinds {
			for _, pair := range [][2]string{{k.src4, k.dst4}, {k.src6, k.dst6}} {
				from, src := w.Router, netip.Addr{}
				if pair[0] != "" {
					from, src = w.lan, netip.MustParseAddr(pair[0])
				}
				c, err := from.Dial("udp", src, netip.AddrPortFrom(netip.MustParseAddr(pair[1]), 4000), lab.DialOptions{})
				if err != nil {
					w.t.Fatal(err)
				}
				f.conns = append(f.conns, c)
				f.wait.Add(1)
				go f.send(c, time.Second/time.Duration(rates[i%len(rates)]))
			}
		}
	}
	return f
}

func (f *flood) send(c *lab.Conn, every time.Duration) {
	defer f.wait.Done()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_ = c.Send()
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
	}
}

func (f *flood) end() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.wait.Wait()
}

// entry is a connection in the router's conntrack.
type entry struct{ src, sport, dst, replyTo, mark string }

var entryFields = regexp.MustCompile(`src=(\S+) dst=(\S+) sport=(\d+) dport=4000 .*?src=\S+ dst=(\S+) .*?mark=(\d+)`)

var entryID = regexp.MustCompile(`(src=\S+) dst=\S+ (sport=\d+) dport=4000 .*?src=\S+ (dst=\S+) .*?id=(\d+)`)

// ids returns the ids of the flows that the router tracks, by source, port and translated address.
func (w *watched) ids() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, family := range []string{"ipv4", "ipv6"} {
		for line := range strings.Lines(w.Router.Run("conntrack", "-L", "-f", family, "-p", "udp", "-o", "id")) {
			if m := entryID.FindStringSubmatch(line); m != nil {
				out[strings.Join(m[1:4], " ")] = m[4]
			}
		}
	}
	return out
}

// flowKey names a flow of IP version and source.
func flowKey(c *lab.Conn) string {
	a := c.LocalAddr()
	if a.Addr().Is4() {
		return fmt.Sprintf("ipv4 %v %d", a.Addr(), a.Port())
	}
	return fmt.Sprintf("ipv6 %v %d", a.Addr(), a.Port())
}

// entries lists the flows that the router tracks, by the sender's port.
func (w *watched) entries() map[string]entry {
	w.t.Helper()
	out := map[string]entry{}
	for _, family := range []string{"ipv4", "ipv6"} {
		for line := range strings.Lines(w.Router.Run("conntrack", "-L", "-f", family, "-p", "udp")) {
			if m := entryFields.FindStringSubmatch(line); m != nil {
				out[family+" "+m[1]+" "+m[3]] = entry{m[1], m[3], m[2], m[4], m[5]}
			}
		}
	}
	return out
}

// stuck returns the flows that do not go where the policy sends them, translated as they should be.
func (f *flood) stuck() (bad []string) {
	own := map[string][2]string{"isp1": {"192.0.2.2", "2001:db8:f1::2"}, "isp2": {"198.51.100.2", "2001:db8:f2::2"}}
	entries := f.w.entries()
	for _, e := range entries {
		for _, k := range kinds {
			if e.dst != k.dst4 && e.dst != k.dst6 {
				continue
			}
			want := own[k.isp][0]
			if strings.Contains(e.dst, ":") {
				want = own[k.isp][1]
			}
			if e.replyTo != want || (e.mark == "0") != (k.isp == "isp1") {
				bad = append(bad, fmt.Sprintf("%s: %+v", k.name, e))
			}
		}
	}
	for _, c := range f.conns {
		if _, there := entries[flowKey(c)]; !there {
			bad = append(bad, fmt.Sprintf("%v is not there", c.LocalAddr()))
		}
	}
	return bad
}

// tracked waits until all flows are in conntrack.
func (f *flood) tracked() {
	f.w.t.Helper()
	lab.WaitFor(f.w.t, "all flows to be tracked", func() bool { return len(f.w.entries()) >= len(f.conns) })
}

// allAnswered waits until every flow has had a packet since now, and fails the test if one is stuck
// or one leaked.
func (f *flood) allAnswered(when string) {
	f.w.t.Helper()
	// What has left the router before now has arrived, on a busy machine, when later packets have.
	for range 5 {
		f.w.Router.Exec("ping", "-n", "-c", "1", "-W", "2", "192.0.2.1")
	}
	before := f.w.leaked()
	time.Sleep(1200 * time.Millisecond) // the slowest sends once a second
	var bad []string
	if !lab.Eventually(lab.Patience(5*time.Second), func() bool { bad = f.stuck(); return len(bad) == 0 }) {
		f.w.t.Errorf("%s: %d of %d flows are stuck:\n%s", when, len(bad), len(f.conns), strings.Join(bad[:min(len(bad), 12)], "\n"))
	}
	if n := f.w.leaked() - before; n > 0 {
		f.w.t.Errorf("%s: %d packets of strict flows came to isp1", when, n)
	}
}
