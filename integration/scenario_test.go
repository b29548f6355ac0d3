package integration

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/lab"
)

// update writes the golden files again: go test ./integration -run Network -update
var update = flag.Bool("update", false, "rewrite the golden files of fixtures/networks")

// networksDir has one directory per network: policy.toml, and what compile prints for it.
const networksDir = "../fixtures/networks"

// goldenFiles are what compile --dry-run prints, by format.
var goldenFiles = map[string]string{"script": "dry-run.sh", "nft": "nft", "ip": "ip"}

// defaultMask is the mark mask of a policy that names none.
const defaultMask = 0xff000000

// scenario is a network of the fixtures with its policy applied.
type scenario struct {
	*lab.Net
	t      *testing.T
	router *router
	// marks are the marks of tables and uplinks by name; default has none.
	marks map[string]uint32
	// inside is the bit of connections opened from inside.
	inside uint32
	// watched are the uplinks' interfaces.
	watched []string
}

// newScenario builds a network, checks the golden files of its policy and applies it.
func newScenario(t *testing.T, name string, spec lab.Spec) *scenario {
	t.Helper()
	n := lab.Build(lab.New(t), spec)
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	s := &scenario{Net: n, t: t, router: newRouter(n.Router)}
	s.router.Sysctl("net/ipv4/icmp_ratelimit", "0") // who waits for a refusal gets one
	policy, err := os.ReadFile(filepath.Join(networksDir, name, "policy.toml"))
	if err != nil {
		t.Fatal(err)
	}
	s.router.write(string(policy))
	s.checkGolden(filepath.Join(networksDir, name))
	s.router.must("check")
	s.router.must("apply")
	s.router.inSync()
	s.readMarks()
	s.watchDownloads()
	return s
}

// checkGolden compares what compile prints with the files in dir. It runs in a directory of its
// own, with the file's bare name, as the goldens were made.
func (s *scenario) checkGolden(dir string) {
	s.t.Helper()
	for format, file := range goldenFiles {
		got := s.router.must("compile", "--dry-run", "--format", format)
		// The path of the policy file is the test's, not the fixture's.
		got = strings.ReplaceAll(got, s.router.file, "policy.toml")
		path := filepath.Join(dir, file)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				s.t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		if got != string(want) {
			s.t.Errorf("%s is not what compile --dry-run --format %s prints now (run with -update if that is right):\n%s",
				path, format, diffLines(string(want), got))
		}
	}
}

// readMarks learns the numbers that the plan gave out.
func (s *scenario) readMarks() {
	s.t.Helper()
	var plan struct {
		Tables []struct{ Name, Mark string }
	}
	if err := json.Unmarshal([]byte(s.router.must("compile", "--dry-run", "--json")), &plan); err != nil {
		s.t.Fatalf("reading the plan: %v", err)
	}
	s.inside = s.router.insideBit()
	s.marks = map[string]uint32{}
	for _, t := range plan.Tables {
		if t.Mark == "" {
			continue
		}
		m, err := strconv.ParseUint(t.Mark, 0, 32)
		if err != nil {
			s.t.Fatalf("mark of table %s: %v", t.Name, err)
		}
		s.marks[t.Name] = uint32(m)
	}
}

// pin returns the ct mark of a connection that was opened from inside and pinned to an uplink, or
// left to default; 0 without a name.
func (s *scenario) pin(name string) uint32 {
	if s.marks[name] == 0 || name == plan.DefaultName {
		return s.marks[name]
	}
	return s.marks[name] | s.inside
}

// watchDownloads counts, in a table of somebody else's, packets from uplinks that carry a routing
// mark.
func (s *scenario) watchDownloads() {
	s.t.Helper()
	for _, isp := range s.Spec.ISPs {
		s.watched = append(s.watched, isp.Iface)
	}
	ifaces := strings.Join(s.watched, ", ")
	rules := fmt.Sprintf("iifname { %s } counter name seen\n\t\tiifname { %s } meta mark & 0x%08x != 0 "+
		"counter name marked\n", ifaces, ifaces, uint32(defaultMask))
	var b strings.Builder
	b.WriteString("table inet watch {\n\tcounter marked { }\n\tcounter seen { }\n")
	for _, hook := range []string{"input", "forward"} {
		fmt.Fprintf(&b, "\tchain watch_%s {\n\t\ttype filter hook %s priority 300; policy accept;\n\t\t%s\t}\n", hook, hook, rules)
	}
	b.WriteString("}\n")
	s.router.NFT(b.String())
}

// noMarkedDownload fails the test if a packet from an uplink ever carried one of our marks, or none
// was seen at all.
func (s *scenario) noMarkedDownload() {
	s.t.Helper()
	if n := s.counter("marked"); n != 0 {
		s.t.Errorf("%d packets from uplinks carried a routing mark", n)
	}
	if s.counter("seen") == 0 {
		s.t.Error("no packet from an uplink was seen at all")
	}
}

var packetsPattern = regexp.MustCompile(`packets (\d+)`)

func (s *scenario) counter(name string) int {
	s.t.Helper()
	out := s.router.Run("nft", "list", "counter", "inet", "watch", name)
	m := packetsPattern.FindStringSubmatch(out)
	if m == nil {
		s.t.Fatalf("no count in %q", out)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// flow is a connection from inside, and what is to become of it.
type flow struct {
	name string
	// from is a LAN's name, or "router".
	from    string
	network string
	src     string // empty: the kernel chooses
	dst     string
	opt     lab.DialOptions
	// isp is where it has to arrive, empty for nowhere, with the source address nat and the
	// connection marked with the number of pin (empty: unmarked).
	isp, nat, pin string
}

// check opens each connection, asks twice, and compares. Those that have to get nowhere wait for
// that side by side.
func (s *scenario) check(flows []flow) {
	s.t.Helper()
	var silent sync.WaitGroup
	defer silent.Wait()
	for _, f := range flows {
		if f.isp == "" {
			silent.Go(func() { s.checkNowhere(f) })
		}
	}
	var open []session
	for _, f := range flows {
		if f.isp != "" {
			open = append(open, s.checkArrives(f)...)
		}
	}
	s.pinned(open)
	for _, o := range open {
		o.conn.Close()
	}
}

// asks opens the connection and asks.
func (s *scenario) asks(f flow) (c *lab.Conn, seen lab.Seen, err error) {
	h := s.Router
	if f.from != "router" {
		h = s.LANs[f.from]
	}
	var src netip.Addr
	if f.src != "" {
		src = netip.MustParseAddr(f.src)
	}
	if c, err = h.Dial(f.network, src, netip.MustParseAddrPort(f.dst), f.opt); err == nil {
		seen, err = c.Ask()
	}
	return c, seen, err
}

func (s *scenario) checkNowhere(f flow) {
	f.opt.Refusals = true
	if c, seen, err := s.asks(f); err == nil {
		c.Close()
		s.t.Errorf("%s: got through by %s from %s, but has to get nowhere", f.name, seen.By, seen.Src)
	}
}

// checkArrives returns the connection, for its mark to be looked at, or none.
func (s *scenario) checkArrives(f flow) []session {
	s.t.Helper()
	c, seen, err := s.asks(f)
	dst := netip.MustParseAddrPort(f.dst)
	if err != nil {
		s.t.Errorf("%s: %v; has to arrive at %s\n%s", f.name, err, f.isp, s.state(dst))
		return nil
	}
	if seen.By != f.isp || seen.Src.Addr().String() != f.nat {
		s.t.Errorf("%s: arrived at %s from %s; has to arrive at %s from %s\n%s", f.name, seen.By, seen.Src.Addr(),
			f.isp, f.nat, s.state(dst))
		return nil
	}
	if again, err := c.Ask(); err != nil || again != seen {
		s.t.Errorf("%s: the second packet: %+v, %v; the first: %+v", f.name, again, err, seen)
	}
	return []session{{name: f.name, network: f.network, conn: c, seen: seen, dst: dst, pin: f.pin}}
}

// state is what helps to see why a packet went astray.
func (s *scenario) state(dst netip.AddrPort) string {
	family := "-4"
	if dst.Addr().Is6() {
		family = "-6"
	}
	return s.router.Run("ip", family, "rule") + s.router.Run("ip", family, "route", "show", "table", "all") +
		s.router.Exec("conntrack", "-L", "-d", dst.Addr().String()).Stdout
}

// inbound is a connection from a provider's internet, and the address that the server has to see.
type inbound struct {
	name, isp, network, src, dst string
	// by is the host that has to answer.
	by string
}

// checkInbound opens connections from outside; each is answered only if the answer leaves through
// the line it arrived on.
func (s *scenario) checkInbound(rows []inbound) {
	s.t.Helper()
	for _, r := range rows {
		src := netip.MustParseAddr(r.src)
		c, err := s.ISPs[r.isp].Dial(r.network, src, netip.MustParseAddrPort(r.dst), lab.DialOptions{})
		if err != nil {
			s.t.Errorf("%s: %v", r.name, err)
			continue
		}
		for range 3 {
			if seen, err := c.Ask(); err != nil || seen.By != r.by || seen.Src.Addr() != src {
				s.t.Errorf("%s: answered by %q, which saw %s, %v; has to be answered by %s", r.name, seen.By, seen.Src, err, r.by)
				break
			}
		}
		c.Close()
	}
}

// serverPort is where servers on the router and behind it listen.
const serverPort = 2000

// portForwarding is the foreign table that leads connections to a port of the router's to a server
// behind it.
func portForwarding(server string) string {
	return fmt.Sprintf(`table ip nat {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "wan*" tcp dport 8000 dnat to %[1]s:%[2]d
		iifname "wan*" udp dport 8000 dnat to %[1]s:%[2]d
	}
}
`, server, serverPort)
}

// serve starts a server on the router and one behind it, with the port forwarding to it.
func (s *scenario) serve(lan, server string) {
	s.t.Helper()
	s.Router.ServeEcho(serverPort)
	s.LANs[lan].ServeEcho(serverPort)
	s.router.NFT(portForwarding(server))
}

// inboundRows are connections to the router, and through it to the server behind it, from every
// provider.
func (s *scenario) inboundRows(lan string) []inbound {
	var rows []inbound
	for _, isp := range s.Spec.ISPs {
		for _, network := range []string{"tcp", "udp"} {
			for port, by := range map[int]string{serverPort: "router", 8000: lan} {
				rows = append(rows, inbound{
					name: fmt.Sprintf("%s from %s to %s", network, isp.Name, by), isp: isp.Name, network: network,
					src: "8.8.4.4", dst: fmt.Sprintf("%s:%d", isp.Router4.Addr(), port), by: by,
				})
			}
		}
	}
	return rows
}

// containsField reports whether one of the words of text is field.
func containsField(text, field string) bool { return slices.Contains(strings.Fields(text), field) }
