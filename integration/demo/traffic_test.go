package demo

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"pbr/integration/lab"
)

// Who talks to whom while isp1 dies. pingTarget is none that a check asks.
var (
	pingTarget  = netip.MustParseAddr("1.1.1.1")
	callTarget  = netip.MustParseAddrPort("9.9.9.9:5060")
	mailTarget  = netip.MustParseAddrPort("9.9.9.9:25")
	newTarget   = netip.MustParseAddrPort("9.9.9.9:443")
	downloadEnd = netip.MustParseAddrPort("9.9.9.9:8080")
)

// How often something is sent. ping(8) takes seconds.
const (
	pingPace  = "0.02"
	callPace  = 5 * time.Millisecond
	newPace   = 50 * time.Millisecond
	piecePace = 5 * time.Millisecond
)

// pieceSize is how much of the download one request brings, in bytes.
const pieceSize = 16 << 10

// patience is how long the downloading client waits for a piece before it connects again; a broken
// connection ends long before.
const patience = 10 * time.Second

// The ways in the order of the rows: before isp1 dies, while it is dead, after its return.
var (
	wayBefore = [...]string{"isp1", "isp1", "isp1", "isp2", "isp2"}
	wayDuring = [...]string{"isp2", "isp2", "isp2", "isp2", "isp2"}
	wayAfter  = [...]string{"isp1", "isp2", "isp2", "isp2", "isp2"}
)

// trafficNames are what the rows are of.
var trafficNames = [...]string{"laptop, new connections", "laptop, running ping", "laptop, download",
	"phone, call (UDP)", "server, mail (TCP)"}

// client is something that a client does again and again.
type client struct {
	mu sync.Mutex
	// by counts the answers by who gave them, last gave the last one, at a time; gap is the longest
	// time without any.
	by           map[string]int
	last         string
	at           time.Time
	gap          time.Duration
	sent, failed int
	// broken is how many connections ended, bytes how much was carried.
	broken, bytes int
}

func newClient() *client { return &client{by: map[string]int{}} }

// note records an answer.
func (c *client) note(by string, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.at.IsZero() {
		c.gap = max(c.gap, now.Sub(c.at))
	}
	c.at, c.last, c.bytes = now, by, c.bytes+bytes
	c.by[by]++
}

// count records other things.
func (c *client) count(f func(c *client)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

// answers returns who answered last, and how many answers there were by now.
func (c *client) answers() (last string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.by {
		n += k
	}
	return c.last, n
}

// traffic is what runs while isp1 dies.
type traffic struct {
	s    *show
	stop chan struct{}
	done sync.WaitGroup
	// fresh opens connections, download and mail use one until it breaks, ping counts what ping(8)
	// prints.
	fresh, download, mail, ping *client
	pinging                     *exec.Cmd
	call                        *lab.Stream
	spoken                      lab.StreamTale
	// ways are what was found before, during, after.
	ways [][len(trafficNames)]string
}

// startTraffic starts all of it; it ends with the test, or by end.
func (s *show) startTraffic() *traffic {
	s.t.Helper()
	for _, isp := range []string{"isp1", "isp2"} {
		s.serveDownload(s.ISPs[isp])
	}
	r := &traffic{s: s, stop: make(chan struct{}), fresh: newClient(), download: newClient(), mail: newClient(), ping: newClient()}
	laptop := s.LANs["laptop"]
	r.repeat(newPace, func() { r.connect(laptop) })
	var d, m connected
	r.repeat(piecePace, func() { r.use(&d, r.download, laptop, downloadEnd) })
	r.repeat(newPace, func() { r.use(&m, r.mail, s.LANs["server"], mailTarget) })
	r.startPing(laptop)
	r.call = s.LANs["phone"].Stream(netip.MustParseAddr("192.168.20.10"), callTarget, callPace)
	s.t.Cleanup(r.end)
	return r
}

// repeat does something again and again until the end.
func (r *traffic) repeat(pace time.Duration, f func()) {
	r.done.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
				f()
			}
		}
	})
}

// connect opens one new connection.
func (r *traffic) connect(from *lab.Host) {
	r.fresh.count(func(c *client) { c.sent++ })
	if seen, err := from.AskOnce("tcp", netip.Addr{}, newTarget, lab.DialOptions{}); err == nil {
		r.fresh.note(seen.By, 0)
	} else {
		r.fresh.count(func(c *client) { c.failed++ })
	}
}

// connected is a client's connection, if it has one.
type connected struct {
	conn net.Conn
	r    *bufio.Reader
}

// use asks for one piece by a connection; one that broke is opened again the next time.
func (r *traffic) use(k *connected, c *client, from *lab.Host, to netip.AddrPort) {
	if k.conn == nil {
		from.Do(func() { k.conn, _ = net.DialTimeout("tcp", to.String(), time.Second) })
		if k.conn == nil {
			return
		}
		conn := k.conn
		r.s.t.Cleanup(func() { _ = conn.Close() })
		k.r = bufio.NewReader(conn)
	}
	// A client that waits at the end is not kept waiting.
	_ = k.conn.SetDeadline(time.Now().Add(patience))
	by, n, err := ask(k, to == downloadEnd)
	if err == nil {
		c.note(by, n)
		return
	}
	_ = k.conn.Close()
	k.conn = nil
	c.count(func(c *client) { c.broken++ })
}

// ask sends a request and reads the line of the answer, and the piece that follows it in a
// download.
func ask(k *connected, piece bool) (by string, n int, err error) {
	if _, err = io.WriteString(k.conn, "?\n"); err != nil {
		return "", 0, err
	}
	line, err := k.r.ReadString('\n')
	if err != nil {
		return "", 0, err
	}
	by, _, _ = strings.Cut(strings.TrimSpace(line), " ")
	if piece {
		n, err = k.r.Discard(pieceSize)
	}
	return by, n, err
}

// serveDownload makes a provider's internet send a piece of a download for each line that it reads.
func (s *show) serveDownload(isp *lab.Host) {
	s.t.Helper()
	var l net.Listener
	var err error
	port := fmt.Sprint(downloadEnd.Port())
	isp.Do(func() { l, err = net.Listen("tcp", ":"+port) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = l.Close() })
	isp.NFT("table inet download { chain pre { type nat hook prerouting priority dstnat - 1; tcp dport " + port +
		" redirect to :" + port + "; }\n}\n")
	answer := append([]byte(isp.Name+"\n"), bytes.Repeat([]byte{'.'}, pieceSize)...)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.t.Cleanup(func() { _ = conn.Close() })
			go func() {
				for r := bufio.NewReader(conn); ; {
					if _, err := r.ReadString('\n'); err != nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// startPing starts ping(8). Who carries it the router's connection table tells.
func (r *traffic) startPing(from *lab.Host) {
	r.s.t.Helper()
	r.pinging = from.Command("ping", "-n", "-i", pingPace, pingTarget.String())
	out, err := r.pinging.StdoutPipe()
	if err == nil {
		err = from.Start(r.pinging)
	}
	if err != nil {
		r.s.t.Fatalf("starting ping: %v", err)
	}
	r.done.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var sent, received int
			if _, err := fmt.Sscanf(lines.Text(), "%d packets transmitted, %d received", &sent, &received); err == nil {
				r.ping.count(func(c *client) { c.sent, c.failed = sent, sent-received })
			} else if strings.Contains(lines.Text(), "bytes from") {
				r.ping.note("", 0)
			}
		}
	})
}

// pingBy names the uplink that the running ping's connection is translated to.
func (r *traffic) pingBy() string {
	entry := tracked(r.s.Router, "icmp", pingTarget)
	_, reply, _ := strings.Cut(entry, "src="+pingTarget.String())
	switch field(reply, "dst") {
	case "192.0.2.2":
		return "isp1"
	case "198.51.100.2":
		return "isp2"
	}
	return ""
}

// way returns who carries what now, and how many answers each has had.
func (r *traffic) way() (by [len(trafficNames)]string, answers [len(trafficNames)]int) {
	by[0], answers[0] = r.fresh.answers()
	_, answers[1] = r.ping.answers()
	by[1] = r.pingBy()
	by[2], answers[2] = r.download.answers()
	tale := r.call.Tale()
	by[3], answers[3] = tale.Last, tale.Answered
	by[4], answers[4] = r.mail.answers()
	return by, answers
}

// waitWay waits until everybody goes the wanted way, and then gets three more answers while they
// do. Whoever does not is an error: the row will show it.
func (r *traffic) waitWay(when string, want [len(trafficNames)]string) {
	r.s.t.Helper()
	var by, since [len(trafficNames)]string
	var at, now [len(trafficNames)]int
	arrived := lab.Eventually(endLimit, func() bool {
		if by, now = r.way(); by != since {
			since, at = by, now
		}
		for i := range now {
			if now[i] < at[i]+3 {
				return false
			}
		}
		return by == want
	})
	if !arrived {
		r.s.t.Errorf("%s: went %q, have to go %q (answers %d, at first %d)", when, by, want, now, at)
	}
	r.ways = append(r.ways, by)
}

// end stops all of it.
func (r *traffic) end() {
	select {
	case <-r.stop:
		return
	default:
		close(r.stop)
	}
	_ = r.pinging.Process.Signal(syscall.SIGINT)
	r.spoken = r.call.Stop()
	r.done.Wait()
	_ = r.pinging.Wait()
}

// rows is the table of who went where, with what it cost, each row checked.
func (r *traffic) rows() [][]string {
	r.s.t.Helper()
	wants := [...][len(trafficNames)]string{wayBefore, wayDuring, wayAfter}
	lost := [...]string{
		fmt.Sprintf("%d of %d tries", r.fresh.failed, r.fresh.sent),
		fmt.Sprintf("%d of %d packets", r.ping.failed, r.ping.sent),
		fmt.Sprintf("none of %.1f MB", float64(r.download.bytes)/1e6),
		fmt.Sprintf("%d of %d packets", r.spoken.Lost(), r.spoken.Sent),
		"none",
	}
	gaps := [...]time.Duration{r.fresh.gap, r.ping.gap, r.download.gap, 0, 0}
	breaks := [...]string{"-", "moved", strconv.Itoa(r.download.broken), "no", strconv.Itoa(r.mail.broken)}
	right := [...]bool{
		r.fresh.failed < r.fresh.sent,
		r.ping.failed > 0 && r.ping.failed < r.ping.sent,
		r.download.broken == 1,
		r.spoken.By["isp2"] == r.spoken.Answered && r.spoken.Lost() <= callsUnderWay,
		r.mail.broken == 0,
	}
	rows := [][]string{{"WHO", "BEFORE", "ISP1 DEAD", "ISP1 BACK", "CONNECTION BROKEN", "LOST", "GAP", ""}}
	for i, name := range trafficNames {
		row, ok := []string{name}, right[i]
		for stage, way := range r.ways {
			row = append(row, way[i])
			ok = ok && way[i] == wants[stage][i]
		}
		gap, verdict := "-", r.s.paint(green, "ok")
		if gaps[i] > 0 {
			gap = gaps[i].Round(time.Millisecond).String()
		}
		if !ok {
			verdict = r.s.paint(red, "WRONG")
			r.s.t.Errorf("%s: %q, broken %s, lost %s", name, row, breaks[i], lost[i])
		}
		rows = append(rows, append(row, breaks[i], lost[i], gap, verdict))
	}
	return rows
}

// callsUnderWay are packets of the call whose answers may come after its end was declared, on a
// busy machine.
const callsUnderWay = 2
