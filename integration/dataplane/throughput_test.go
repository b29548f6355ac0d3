package dataplane

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/page"
)

// The ends of the TCP connections: a client that no policy selects, one that a policy does, and a
// server behind both uplinks.
const (
	plainClient  = "192.168.10.2"
	chosenClient = "192.168.10.3"
	server       = "203.0.113.9"
	serverPort   = 5001
)

// BenchmarkThroughput prints what one TCP connection carries through routers of several kinds, as
// a share of what conntrack and masquerade let through: with segments gathered by the network
// devices (GSO and GRO), as they come from a card, and with each segment on its own.
func BenchmarkThroughput(b *testing.B) {
	n := 10
	if *rounds > 0 {
		n = *rounds
	}
	paths := []*path{}
	for _, c := range throughputRows() {
		paths = append(paths, newPath(b, c))
	}
	for b.Loop() {
		res := throughput(b, paths, n)
		res.write(os.Stdout)
		if *docs {
			var text strings.Builder
			res.write(&text)
			if err := page.Insert(pageFile, "throughput", []byte(text.String())); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestThroughput lets a little through each kind of router.
func TestThroughput(t *testing.T) {
	t.Parallel()
	for _, c := range throughputRows()[:2] {
		p := newPath(t, c)
		for _, gathered := range []bool{true, false} {
			p.gather(gathered)
			for _, r := range carriages {
				if r.gathered == gathered {
					p.pipe(r).carry(t, 0)
					lab.WaitFor(t, c.name+", "+r.name+": bytes", func() bool { return p.pipe(r).got.Load() > 0 })
				}
			}
		}
	}
}

// throughputRows are the routers, base first.
func throughputRows() []config {
	rows := []string{base, pbrSetUp{1000, 2, "nft"}.String(), pbrSetUp{1000, 2, ""}.String(), "mwan3's way, 1,000 rules"}
	var list []config
	for _, name := range rows {
		at := slices.IndexFunc(configs(), func(c config) bool { return c.name == name })
		list = append(list, configs()[at])
	}
	return list
}

// carriage is a kind of TCP connection.
type carriage struct {
	name string
	// gathered lets devices hand segments on together.
	gathered, chosen, down bool
}

// carriages are the columns.
var carriages = []carriage{
	{"with GRO: upload", true, false, false}, {"download", true, false, true},
	{"upload by policy", true, true, false}, {"download by policy", true, true, true},
	{"without: upload", false, false, false}, {"download", false, false, true},
	{"upload by policy", false, true, false}, {"download by policy", false, true, true},
}

// path is a router with a client and a server.
type path struct {
	config
	router, client, far *lab.Host
	up, down            map[bool]*pipe // by chosen
}

// newPath makes them. Cables are the ones that other rows are measured with, without what drops
// packets at the end.
func newPath(t testing.TB, c config) *path {
	t.Helper()
	l := lab.New(t)
	p := &path{config: c, router: l.Host("router"), client: l.Host("client"), far: l.Host("far"), up: map[bool]*pipe{},
		down: map[bool]*pipe{}}
	for name, value := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1",
		"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0",
	} {
		p.router.Sysctl(name, value)
	}
	for _, d := range devices {
		end := p.far
		if d.name == lan {
			end = p.client
		}
		p.router.IP(fmt.Sprintf("link add %s index %d type veth peer name %s netns %s", d.name, d.index, d.name, end.NS),
			fmt.Sprintf("addr add %s/24 dev %s", d.router[v4], d.name),
			fmt.Sprintf("addr add %s/64 dev %s nodad", d.router[v6], d.name), fmt.Sprintf("link set %s up", d.name))
		end.IP(fmt.Sprintf("addr add %s/24 dev %s", d.far[v4], d.name), fmt.Sprintf("link set %s up", d.name))
	}
	p.client.IP("addr add "+chosenClient+"/24 dev lan", "route add default via 192.168.10.1")
	p.far.IP("addr add "+server+"/32 dev lo", "link set lo up")
	p.router.IP("route add default via " + devices[1].far[v4] + " dev " + wan1)
	all := selectors(1000)
	// One selector is the chosen client, in the place of another of its kind.
	all[300] = selector{src: [2]netip.Prefix{netip.MustParsePrefix(chosenClient + "/32"), netip.MustParsePrefix("fd00:64:ffff::9/128")}}
	if c.setUp != nil {
		c.setUp(t, &router{p.router}, all)
	}
	p.connect(t)
	return p
}

// connect opens a connection for each way and each client.
func (p *path) connect(t testing.TB) {
	t.Helper()
	var listener net.Listener
	var err error
	p.far.Do(func() { listener, err = net.Listen("tcp4", fmt.Sprintf("%s:%d", server, serverPort)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	for _, chosen := range []bool{false, true} {
		from := plainClient
		if chosen {
			from = chosenClient
		}
		for _, down := range []bool{false, true} {
			var near net.Conn
			p.client.Do(func() {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: lab.Patience(10 * time.Second)}
				near, err = d.Dial("tcp4", listener.Addr().String())
			})
			if err != nil {
				t.Fatalf("%s: connecting from %s: %v", p.name, from, err)
			}
			far, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { near.Close(); far.Close() })
			if seen := far.RemoteAddr().(*net.TCPAddr).IP.String(); seen != p.translated(chosen) {
				t.Fatalf("%s: the connection from %s comes from %s", p.name, from, seen)
			}
			if down {
				p.down[chosen] = newPipe(far, near)
			} else {
				p.up[chosen] = newPipe(near, far)
			}
		}
	}
}

// translated is the address that the server sees.
func (p *path) translated(chosen bool) string {
	if chosen && p.steers {
		return devices[2].router[v4]
	}
	return devices[1].router[v4]
}

// gather sets whether the ends of all cables hand segments on together.
func (p *path) gather(on bool) {
	most := 1
	if on {
		most = 65535
	}
	for _, d := range devices {
		end := p.far
		if d.name == lan {
			end = p.client
		}
		end.IP(fmt.Sprintf("link set %s gso_max_segs %d", d.name, most))
		p.router.IP(fmt.Sprintf("link set %s gso_max_segs %d", d.name, most))
	}
}

// pipe is the one of a kind.
func (p *path) pipe(r carriage) *pipe {
	if r.down {
		return p.down[r.chosen]
	}
	return p.up[r.chosen]
}

// pipe carries bytes from one end of a connection to the other.
type pipe struct {
	from, to net.Conn
	got      atomic.Int64
}

func newPipe(from, to net.Conn) *pipe {
	p := &pipe{from: from, to: to}
	go func() {
		buf := make([]byte, 1<<20)
		for {
			n, err := to.Read(buf)
			p.got.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	return p
}

// The length of a measurement, and what goes before it.
const (
	carryTime = 200 * time.Millisecond
	carryHead = 40 * time.Millisecond
)

// carry sends as fast as it can for that long, and returns the bits that arrived in a second.
func (p *pipe) carry(t testing.TB, length time.Duration) float64 {
	t.Helper()
	stop, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		chunk := make([]byte, 256<<10)
		for stop.Err() == nil {
			if _, err := p.from.Write(chunk); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	time.Sleep(carryHead)
	start, before := time.Now(), p.got.Load()
	time.Sleep(length)
	bits := float64(p.got.Load()-before) * 8 / time.Since(start).Seconds()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	// What is still on its way must not meet the next measurement.
	for last := int64(-1); last != p.got.Load(); time.Sleep(5 * time.Millisecond) {
		last = p.got.Load()
	}
	return bits
}

// carried holds the bits per second of each round.
type carried struct {
	paths []*path
	bits  map[*path]map[carriage][]float64
}

// throughput measures all paths in turns, forth and back.
func throughput(b *testing.B, paths []*path, rounds int) *carried {
	b.Helper()
	res := &carried{paths, map[*path]map[carriage][]float64{}}
	for _, p := range paths {
		res.bits[p] = map[carriage][]float64{}
	}
	for _, gathered := range []bool{true, false} {
		for _, p := range paths {
			p.gather(gathered)
		}
		for round := range rounds {
			for _, r := range carriages {
				if r.gathered == gathered {
					res.turn(b, r)
				}
			}
			fmt.Fprintf(os.Stderr, "throughput: round %d of %d\n", round+1, rounds)
		}
	}
	return res
}

func (res *carried) turn(b *testing.B, r carriage) {
	order := slices.Clone(res.paths)
	sum := map[*path]float64{}
	for range 2 {
		for _, p := range order {
			sum[p] += p.pipe(r).carry(b, carryTime) / 2
		}
		slices.Reverse(order)
	}
	for _, p := range order {
		res.bits[p][r] = append(res.bits[p][r], sum[p])
	}
}

// write prints a table: base in Gbit/s, the others as a share of it.
func (res *carried) write(w io.Writer) {
	fmt.Fprintf(w, "One TCP connection over IPv4, of what %s carries; %s; %d rounds.\n\n",
		base, page.Machine(), len(res.bits[res.paths[0]][carriages[0]]))
	names, lines := []string{""}, []string{"---"}
	for _, r := range carriages {
		names, lines = append(names, r.name), append(lines, "---")
	}
	writeRow(w, names)
	writeRow(w, lines)
	for _, p := range res.paths {
		row := []string{p.name}
		for _, r := range carriages {
			if p == res.paths[0] {
				row = append(row, fmt.Sprintf("%s Gbit/s", digits(median(res.bits[p][r])/1e9)))
				continue
			}
			shares := make([]float64, len(res.bits[p][r]))
			for i := range shares {
				shares[i] = 100 * res.bits[p][r][i] / res.bits[res.paths[0]][r][i]
			}
			slices.Sort(shares)
			row = append(row, fmt.Sprintf("%.0f %% ±%.0f", math.Round(quantile(shares, 0.5)),
				(quantile(shares, 0.75)-quantile(shares, 0.25))/2))
		}
		writeRow(w, row)
	}
	fmt.Fprintln(w)
}

func median(list []float64) float64 { return quantile(slices.Sorted(slices.Values(list)), 0.5) }
