package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// Resolvers of the internet: what clients send there reaches programs of the first provider's host.
var (
	unboundAt = netip.MustParseAddrPort("198.18.53.53:53")
	oddAt     = netip.MustParseAddrPort("198.18.53.54:53")
)

// Answers of any resolver, on the way through the router or to it, in any form that answers have.
func TestDomainsWays(t *testing.T) {
	t.Parallel()
	n := newNamed(t, domainPolicy)
	n.elsewhere()
	n.dnsmasq(n.Router, []string{n.hosts(300, "example.com")}, "--listen-address=192.168.10.1",
		"--listen-address=127.0.0.1", "--bind-interfaces")
	n.dnsmasq(n.Router, []string{n.hosts(300, "example.com")}, "--port=5353")
	n.Router.NFT("table inet to-5353 {\n" +
		"chain pre { type nat hook prerouting priority dstnat; iifname \"br-lan\" ip daddr 8.8.8.8 udp dport 53 redirect to :5353; }\n}\n")
	edns := func(m *dns.Msg) { m.SetEdns0(4096, false) }
	for _, tt := range []struct {
		name, network string
		at            netip.AddrPort
		from, count   int
		kind          uint16
	}{
		{"unbound elsewhere", "udp", unboundAt, 0, 20, dns.TypeA},
		{"unbound elsewhere, IPv6 addresses", "udp", unboundAt, 20, 20, dns.TypeAAAA},
		{"unbound elsewhere, TCP", "tcp", unboundAt, 40, 10, dns.TypeA},
		{"dnsmasq, TCP", "tcp", n.resolver, 100, 10, dns.TypeA},
		{"dnsmasq, asked by IPv6", "udp", netip.MustParseAddrPort("[2001:db8:10::1]:53"), 110, 10, dns.TypeAAAA},
		{"redirected to another port", "udp", netip.MustParseAddrPort("8.8.8.8:53"), 120, 10, dns.TypeA},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.at.Addr().Is6() {
				n.dnsmasq(n.Router, []string{n.hosts(300, "example.com")}, "--listen-address=2001:db8:10::1", "--bind-interfaces")
				n.waitServed(tt.at)
			}
			if by := n.firstConnections(tt.network, tt.at, tt.from, tt.count, "example.com", tt.kind,
				nil); !cmp.Equal(by, map[string]int{"isp2": tt.count}) {
				t.Errorf("first connections: %v", by)
			}
		})
	}
	for i, tt := range []struct {
		name, network string
		edit          func(*dns.Msg)
		want          int
	}{{"EDNS", "udp", edns, 60}, {"truncated", "udp", nil, 1}, {"TCP in segments", "tcp", nil, 60}} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := n.ask(tt.network, oddAt, fmt.Sprintf("many-%d.example.com", i), dns.TypeA, tt.edit)
			if err != nil {
				t.Fatal(err)
			}
			all := addresses(m)
			if len(all) != tt.want {
				t.Fatalf("%d addresses", len(all))
			}
			for _, a := range []netip.Addr{all[0], all[len(all)-1]} {
				if by := n.connects(a); by != "isp2" {
					t.Errorf("the first connection to %s goes to %s", a, by)
				}
			}
		})
	}
	t.Run("not asked for", func(t *testing.T) {
		// From the address and port of a server, to the client and to the router.
		n.ISPs["isp1"].IP("addr add " + unboundAt.Addr().String() + "/32 dev lo")
		answer := oddAnswer(questionFor(t, "many-50.example.com"), true)
		for _, to := range []string{"192.168.10.10", "192.0.2.2"} {
			var conn net.Conn
			var err error
			n.ISPs["isp1"].Do(func() {
				d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(unboundAt)}
				conn, err = d.Dial("udp", to+":40000")
			})
			if err == nil {
				_, err = conn.Write(answer)
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		}
		n.learns(150, "after answers that nobody asked for")
		if text := n.members("list-streams-4"); strings.Contains(text, "198.18.150.") {
			t.Errorf("an answer that nobody asked for taught:\n%s", text)
		}
	})
}

func questionFor(t *testing.T, name string) []byte {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.TypeA)
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Who may teach, and what; members outlive pbr watch, the table, and the machine.
func TestDomainsMembers(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(domainPolicy, `streams = { domains = ["example.com"], timeout = "1h" }`,
		`streams = { domains = ["example.com"], timeout = "1h", resolvers = ["127.0.0.1"] }
inside = { domains = ["inside.test"], allow-private = true }
mixed = [{ domains = ["mixed.test"] }, { dynamic = true, persist = true }, "203.0.113.200"]
small = { domains = ["small.test"], size = 3, timeout = "10m" }
outside = { domains = ["inside.test"], resolvers = "198.18.53.53" }`, 1)
	n := newNamed(t, policy)
	n.elsewhere()
	n.askMembers()
	// One set has what DNS answers and what commands put in; commands take out their own alone.
	n.router.must("lists", "add", "mixed", "192.0.2.128/25", "198.18.8.200")
	n.router.must("lists", "del", "mixed", "198.18.8.200")
	want := map[string][]string{"list-mixed-4": {"192.0.2.128/25", "198.18.8.8", "198.18.8.9"},
		"list-inside-4": {"10.1.2.3", "192.168.10.1"}, "list-streams-4": {"198.18.9.9"}, "list-outside-4": {},
		"list-small-4": {"198.18.7.4", "198.18.7.5", "198.18.7.6"}}
	has := func(t *testing.T, when string) {
		t.Helper()
		for set, addrs := range want {
			if got := n.elements(set); !cmp.Equal(got, addrs) {
				t.Errorf("%s: set %s has %v, want %v", when, set, got, addrs)
			}
		}
	}
	step := steps.Of(t)
	step.Run("after the answers", func(t *testing.T) {
		has(t, "after the answers")
	})
	step.Run("commands show where members came from", func(t *testing.T) {
		if text := n.router.must("lists", "streams"); !strings.Contains(text, "198.18.9.9") || !strings.Contains(text, "s.example.com") {
			t.Errorf("pbr lists does not show where a member came from:\n%s", text)
		}
		if text := n.router.must("explain", "192.168.10.10", "198.18.9.9:7777/udp"); !strings.Contains(text,
			"198.18.9.9 is in list streams by the name s.example.com") {
			t.Errorf("pbr explain does not name the domain:\n%s", text)
		}
		if text := n.router.must("lists", "mixed"); !strings.Contains(text, "b.mixed.test") || !strings.Contains(text, "192.0.2.128/25") {
			t.Errorf("pbr lists does not show members of both sources:\n%s", text)
		}
	})
	step.Run("an apply keeps them, and they are no difference", func(t *testing.T) {
		if res := n.router.pbr("diff"); res.Code != 0 {
			t.Errorf("members are a difference: %s", res.Stdout)
		}
		n.router.must("apply")
		has(t, "after an apply")
	})
	step.Run("they come back with a table that somebody deleted", func(t *testing.T) {
		n.Router.Run("nft", "delete", "table", "inet", "pbr")
		lab.WaitFor(t, "the table to come back",
			func() bool { return n.Router.Exec("nft", "list", "set", "inet", "pbr", "list-streams-4").Code == 0 })
		has(t, "after somebody deleted the table")
		n.waitTapped()
	})
	step.Run("they outlive the watch", func(t *testing.T) {
		n.stop()
		has(t, "after the watch's end")
	})
	// The machine starts again: pbr apply alone, before any packet.
	step.Run("they outlive a restart of the machine", func(t *testing.T) {
		n.forgetBoot()
		n.router.must("apply")
		has(t, "after a restart of the machine")
		n.start()
		n.waitTapped()
		has(t, "with the next watch")
		if text := n.router.must("lists", "streams"); !strings.Contains(text, "s.example.com") {
			t.Errorf("the names are lost:\n%s", text)
		}
	})
	// Edits of the lists, for which the kernel's sets have to be rebuilt.
	step.Run("edits of the lists keep them", func(t *testing.T) {
		n.router.write(strings.NewReplacer(`streams = { domains = ["example.com"], timeout = "1h", resolvers = ["127.0.0.1"] }`,
			`streams = [{ domains = ["example.com", "example.net"], timeout = "2h", `+
				`resolvers = ["127.0.0.1"] }, { dynamic = true }]`, "size = 3", "size = 4").Replace(policy))
		n.router.must("apply")
		has(t, "after edits of the lists")
		if _, err := n.ask("udp", n.resolver, "t.example.com", dns.TypeA, nil); err != nil {
			t.Fatal(err)
		}
		want["list-streams-4"] = []string{"198.18.9.9", "198.18.9.10"}
		has(t, "after edits of the lists and another answer")
	})
}

// askMembers asks for names of each list: of a resolver on the router, and one for a resolver that
// the lists do not take answers from.
func (n *named) askMembers() {
	n.t.Helper()
	private := filepath.Join(n.dir, "private")
	lines := "10.1.2.3 a.inside.test\n127.0.0.9 b.inside.test\n192.168.10.1 c.inside.test\n" +
		"10.1.2.3 p.example.com\n192.168.10.1 q.example.com\n169.254.3.4 r.example.com\n" +
		"198.18.9.9 s.example.com\n198.18.9.10 t.example.com\n198.18.8.8 a.mixed.test\n198.18.8.9 b.mixed.test\n"
	for i := range 6 {
		lines += fmt.Sprintf("198.18.7.%d n%d.small.test\n", i+1, i)
	}
	if err := os.WriteFile(private, []byte(lines), 0o644); err != nil {
		n.t.Fatal(err)
	}
	n.dnsmasq(n.Router, []string{private})
	for _, name := range []string{"a.inside.test", "c.inside.test", "p.example.com", "q.example.com", "r.example.com",
		"s.example.com", "a.mixed.test", "b.mixed.test"} {
		if _, err := n.ask("udp", n.resolver, name, dns.TypeA, nil); err != nil {
			n.t.Fatal(err)
		}
	}
	if _, err := n.ask("udp", unboundAt, "n1.example.com", dns.TypeA, nil); err != nil {
		n.t.Fatal(err)
	}
	for i := range 6 {
		if _, err := n.ask("udp", n.resolver, fmt.Sprintf("n%d.small.test", i), dns.TypeA, nil); err != nil {
			n.t.Fatal(err)
		}
	}
}

// elements are the addresses in a set.
func (n *named) elements(set string) []string {
	n.t.Helper()
	out := []string{}
	_, list, _ := strings.Cut(n.members(set), "elements = {")
	list, _, _ = strings.Cut(list, "}")
	for e := range strings.SplitSeq(list, ",") {
		if words := strings.Fields(e); len(words) > 0 {
			out = append(out, words[0])
		}
	}
	return out
}

// Answers are held by nftables' own queue where there is one, and a connection to a resolver stays
// where its answers are seen, although others are offloaded.
func TestVMDomainsOffload(t *testing.T) {
	lab.NeedKernel(t, "nft_queue", "nf_flow_table")
	n := newNamed(t, domainPolicy)
	if text := n.Router.Run("nft", "list", "chain", "inet", "pbr", "tap"); !strings.Contains(text, "queue") ||
		strings.Contains(text, "xt_target") {
		t.Errorf("not nftables' own queue:\n%s", text)
	}
	n.odd(n.ISPs["isp1"])
	n.ISPs["isp1"].NFT(fmt.Sprintf(
		"table inet dns {\nchain pre { type nat hook prerouting priority dstnat - 10; ip daddr %s udp dport "+
			"53 redirect to :%d; }\n}\n", oddAt.Addr(), oddPort))
	conn, err := n.dialLAN("udp", oddAt)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &dns.Conn{Conn: conn, UDPSize: 4096}
	// A watch that gets no processor time lets answers pass, and a packet may be lost. But a
	// connection that is offloaded stays so: then each answer is unseen.
	for i, wrong := 0, 0; i < 20; i++ {
		by := n.manyAnswered(c, i)
		if by == "isp2" {
			wrong = 0
			continue
		}
		t.Logf("question %d over one connection: the first connection goes to %s", i, by)
		if wrong++; wrong == 3 {
			t.Fatal("the answers are not seen")
		}
		n.waitTapped()
	}
	if text := n.Router.Exec("nft", "list", "chain", "inet", "pbr", "forward").Stdout; !strings.Contains(text, "flow add") {
		t.Errorf("nothing is offloaded:\n%s", text)
	}
	n.repairsOthersFlowtable()
}

// manyAnswered asks for the addresses of a name over a connection, and returns the provider that
// the first connection to the last of them goes to, or why there is none.
func (n *named) manyAnswered(c *dns.Conn, i int) string {
	q := new(dns.Msg)
	q.SetQuestion(fmt.Sprintf("many-%d.example.com.", i), dns.TypeA)
	q.SetEdns0(4096, false)
	_ = c.SetDeadline(time.Now().Add(lab.Patience(5 * time.Second)))
	if err := c.WriteMsg(q); err != nil {
		return err.Error()
	}
	for {
		m, err := c.ReadMsg()
		switch {
		case err != nil:
			return err.Error()
		case m.Id == q.Id: // -- not the late answer to an earlier question
			return n.connects(addresses(m)[59])
		}
	}
}

// repairsOthersFlowtable has doctor find a rule of others that hides answers, and does what it
// says.
func (n *named) repairsOthersFlowtable() {
	n.t.Helper()
	n.Router.NFT("table inet others {\nflowtable ft { hook ingress priority 0; devices = { wan1 }; }\n" +
		"chain f { type filter hook forward priority 0; meta l4proto { tcp, udp } flow add @ft; }\n}\n")
	const said = "offloads connections by flowtable ft"
	out := n.router.pbr("doctor", "--json").Stdout
	var result struct {
		Findings []struct{ Text, Do string }
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		n.t.Fatal(err)
	}
	for _, f := range result.Findings {
		if strings.Contains(f.Text, said) {
			command, _, _ := strings.Cut(f.Do, ", and where")
			n.Router.Run("sh", "-c", command)
			n.unsays("doctor", said)
			return
		}
	}
	n.t.Errorf("pbr doctor does not find the flowtable of others:\n%s", out)
}
