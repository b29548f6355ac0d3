package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"

	"pbr/integration/lab"
)

// How much TestNumbersChangeUnderTraffic does; pairsEnv overrides the number of pairs.
const (
	numberPairs   = 4
	pairsEnv      = "PBR_TEST_PAIRS"
	manyEntries   = 20_000
	fewEntries    = 500
	streamsOfKind = 4
	trafficBefore = 100 * time.Millisecond
	trafficAfter  = 200 * time.Millisecond
)

// numbering is what two policies that route alike can differ in.
type numbering struct {
	mask     uint32
	priority int
	first    string
	// uplink is the name of the second uplink, strict and plain those of tables over it, nat how it
	// translates.
	uplink, strict, plain, nat string
	more                       []string
}

func oneOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func randomNumbering(r *rand.Rand, nat string) numbering {
	n := numbering{
		mask:     oneOf[uint32](r, 0xff000000, 0xff000000, 0x00ff0000, 0x0ff00000, 0x0000fff0, 0x000000f8),
		priority: oneOf(r, 10000, 10000, 5000, 20000, 10300, 9800),
		first:    oneOf(r, "specific", "specific", "connected", "off"),
		uplink:   oneOf(r, "isp2", "isp2", "tunnel"), strict: oneOf(r, "secret", "vault", "kill"),
		plain: oneOf(r, "second", "work"), nat: nat,
	}
	for i := range r.IntN(4) {
		n.more = append(n.more, fmt.Sprintf("more%d-%d", i, r.IntN(50)))
	}
	return n
}

// text is a policy that sends host .12 through the second uplink or nowhere, host .11 through it,
// and all others through the first.
func (n numbering) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[pbr]\noffload = \"off\"\nmark-mask = 0x%08x\nrule-priority = %d\nmain-first = %q\n", n.mask, n.priority, n.first)
	b.WriteString(uplinkText(1, "masquerade"))
	b.WriteString(strings.Replace(uplinkText(2, n.nat), `"isp2"`, strconv.Quote(n.uplink), 1))
	for _, name := range n.more {
		fmt.Fprintf(&b, "[[table]]\nname = %q\nroutes = { uplink = \"isp1\" }\n[[policy]]\nname = "+
			"%[1]q\nsrc = \"10.9.9.9\"\ntable = %[1]q\n", name)
	}
	fmt.Fprintf(&b, "[[table]]\nname = %q\nstrict = true\nroutes = { uplink = %q }\n", n.strict, n.uplink)
	fmt.Fprintf(&b, "[[table]]\nname = %q\nroutes = { uplink = %q }\n", n.plain, n.uplink)
	b.WriteString(defaultText(1))
	fmt.Fprintf(&b, "[[policy]]\nname = \"strict\"\nsrc = [\"192.168.10.12\", \"2001:db8:10::12\"]\ntable = %q\n", n.strict)
	fmt.Fprintf(&b, "[[policy]]\nname = \"plain\"\nsrc = [\"192.168.10.11\", \"2001:db8:10::11\"]\ntable = %q\n", n.plain)
	return b.String()
}

// markOf returns the mark that the router's policy gives to a table.
func (r *router) markOf(table string) uint32 {
	r.T().Helper()
	var p struct{ Tables []struct{ Name, Mark string } }
	if err := json.Unmarshal([]byte(r.must("compile", "--dry-run", "--json")), &p); err != nil {
		r.T().Fatal(err)
	}
	for _, t := range p.Tables {
		if t.Name == table {
			m, err := strconv.ParseUint(t.Mark, 0, 32)
			if err != nil {
				r.T().Fatal(err)
			}
			return uint32(m)
		}
	}
	r.T().Fatalf("no table %s", table)
	return 0
}

// insideBit returns the bit of the ct marks of connections opened from inside.
func (r *router) insideBit() uint32 {
	r.T().Helper()
	return r.insideBitOf(pbrPath)
}

// insideBitOf is that of a release: earlier ones have none.
func (r *router) insideBitOf(program string) uint32 {
	r.T().Helper()
	var p struct {
		Bit string `json:"inside_bit"`
	}
	if err := json.Unmarshal([]byte(r.Run(program, "--config", r.file, "compile", "--dry-run", "--json")), &p); err != nil {
		r.T().Fatal(err)
	}
	if p.Bit == "" {
		return 0
	}
	bit, err := strconv.ParseUint(p.Bit, 0, 32)
	if err != nil {
		r.T().Fatal(err)
	}
	return uint32(bit)
}

// entryAddr is where the connections of fill come from: nobody sends for them.
var entryAddr = netip.MustParseAddr("10.20.0.0")

// fill adds connections with a mark to the router's table.
func (r *router) fill(n int, mark uint32) {
	r.T().Helper()
	var err error
	r.Do(func() {
		var c *conntrack.Conn
		if c, err = conntrack.Dial(nil); err != nil {
			return
		}
		defer c.Close()
		far := netip.MustParseAddr("9.9.9.99")
		base := entryAddr.As4()
		for i := range n {
			src := netip.AddrFrom4([4]byte{base[0], base[1], byte(i >> 8), byte(i)})
			if err = c.Create(conntrack.NewFlow(17, 0, src, far, 1000, 443, 600, mark)); err != nil {
				return
			}
		}
	})
	if err != nil {
		r.T().Fatalf("adding connections: %v", err)
	}
}

// marksByDestination counts the router's connections by destination and mark.
func (r *router) marksByDestination() map[string]map[uint32]int {
	r.T().Helper()
	var flows []conntrack.Flow
	var err error
	r.Do(func() {
		var c *conntrack.Conn
		if c, err = conntrack.Dial(nil); err == nil {
			flows, err = c.Dump(nil)
			c.Close()
		}
	})
	if err != nil {
		r.T().Fatalf("listing connections: %v", err)
	}
	out := map[string]map[uint32]int{}
	for _, f := range flows {
		dst := f.TupleOrig.IP.DestinationAddress.String()
		if out[dst] == nil {
			out[dst] = map[uint32]int{}
		}
		out[dst][f.Mark]++
	}
	return out
}

// Where the hosts of text's policies send to: addresses that tell at a provider whose packet it is.
// What goes to the silent ones is not answered.
var (
	strictDsts = []string{"9.9.9.12", "2001:db8:ffff::12", "9.9.8.12", "2001:db8:fffe::12"}
	plainDsts  = []string{"9.9.9.11", "2001:db8:ffff::11", "9.9.8.11", "2001:db8:fffe::11"}
)

const strayTable = `table inet stray {
	set far4 { type ipv4_addr; elements = { 9.9.9.12, 9.9.8.12, 9.9.9.11, 9.9.8.11 }; }
	set far6 { type ipv6_addr; elements = { 2001:db8:ffff::12, 2001:db8:fffe::12, 2001:db8:ffff::11, 2001:db8:fffe::11 }; }
	counter seen { }
	chain in { type filter hook prerouting priority -450;
		ip daddr @far4 counter name seen; ip6 daddr @far6 counter name seen
		ip daddr 9.9.8.0/24 drop; ip6 daddr 2001:db8:fffe::/48 drop; }
}
`

// seen is how many packets of the hosts that policies send through the second uplink a provider has
// got.
func seen(t *testing.T, isp *lab.Host) int {
	t.Helper()
	out := isp.Run("nft", "list", "counter", "inet", "stray", "seen")
	m := packetsPattern.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no count in %q", out)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// traffic is packets of running connections, sent without a pause.
type traffic struct {
	streams []*lab.Stream
}

// startTraffic opens connections of the hosts .11 and .12, half of which are answered.
func startTraffic(t *testing.T, lan *lab.Host) *traffic {
	t.Helper()
	tr := &traffic{}
	for host, dsts := range map[string][]string{"11": plainDsts, "12": strictDsts} {
		for i, dst := range dsts {
			src := netip.MustParseAddr([]string{"192.168.10.", "2001:db8:10::"}[i%2] + host)
			for range streamsOfKind {
				tr.streams = append(tr.streams, lan.Stream(src, netip.AddrPortFrom(netip.MustParseAddr(dst), 443), 4*time.Millisecond))
			}
		}
	}
	return tr
}

func (tr *traffic) end() {
	for _, s := range tr.streams {
		s.Stop()
	}
}

// No packet of a running connection goes astray while numbers change, none loses its mark, and none
// its uplink.
func TestNumbersChangeUnderTraffic(t *testing.T) {
	t.Parallel()
	pairs := numberPairs
	if text := os.Getenv(pairsEnv); text != "" {
		pairs, _ = strconv.Atoi(text)
	}
	seed := testSeed(t)
	rng := rand.New(rand.NewPCG(seed, 500))
	n := newEditNet(t)
	r, lan := newRouter(n.Router), n.LANs["lan"]
	for _, isp := range n.ISPs {
		isp.NFT(strayTable)
	}
	for i := range pairs {
		nat := oneOf(rng, "masquerade", "none")
		before, after := randomNumbering(rng, nat), randomNumbering(rng, nat)
		switch i {
		case 0: // mask and priority up
			before, after = numbering{0xff000000, 10000, "specific", "isp2", "secret", "second", nat, nil},
				numbering{0x00ff0000, 20000, "specific", "isp2", "secret", "second", nat, nil}
		case 1: // and down
			before, after = numbering{0xff000000, 10000, "specific", "isp2", "secret", "second", nat, nil},
				numbering{0x00ff0000, 5000, "specific", "isp2", "secret", "second", nat, nil}
		case 2: // a higher priority and a renamed strict table
			before, after = numbering{0xff000000, 10000, "specific", "isp2", "secret", "second", nat, nil},
				numbering{0xff000000, 12000, "specific", "isp2", "vault", "second", nat, nil}
		}
		entries := fewEntries
		if i == 0 {
			entries = manyEntries
		}
		r.changeUnderTraffic(n, lan, before, after, entries)
		if t.Failed() {
			t.Fatalf("pair %d; %s=%d repeats this\nfrom:\n%s\nto:\n%s", i, seedEnv, seed, before.text(), after.text())
		}
	}
}

// changeUnderTraffic applies two policies, one after the other, the second one while connections of
// the first one send.
func (r *router) changeUnderTraffic(n *lab.Net, lan *lab.Host, before, after numbering, entries int) {
	t := r.T().(*testing.T)
	t.Helper()
	r.Run("conntrack", "-F")
	r.must("flush")
	r.apply(before.text())
	wasStrict, wasPlain := r.markOf(before.uplink+"/strict"), r.markOf(before.uplink)
	r.fill(entries, wasStrict)
	strays := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"])
	tr := startTraffic(t, lan)
	time.Sleep(trafficBefore)
	had := r.insideBit()
	checkMarks(t, "before", r.marksByDestination(), wasStrict, wasPlain, had, entries)
	began := time.Now()
	r.apply(after.text())
	took := time.Since(began)
	time.Sleep(trafficAfter)
	tr.end()
	if more := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"]) - strays; more > 0 {
		t.Errorf("%d packets left by another uplink", more)
	}
	inside := r.insideBit()
	if had == 0 {
		inside = 0 // marks that do not say who opened the connection go on so
	}
	checkMarks(t, "after", r.marksByDestination(), r.markOf(after.uplink+"/strict"), r.markOf(after.uplink), inside, entries)
	r.inSync()
	t.Logf("the apply took %v", took.Round(time.Millisecond))
}

// checkMarks fails the test unless each connection has the mark of its uplink, and there are as
// many as there were. inside is the bit that those of the streams have besides.
func checkMarks(t *testing.T, when string, marks map[string]map[uint32]int, strict, plain, inside uint32, entries int) {
	t.Helper()
	want := map[string]map[uint32]int{}
	if entries > 0 {
		want["9.9.9.99"] = map[uint32]int{strict: entries}
	}
	for _, dst := range strictDsts {
		want[dst] = map[uint32]int{strict | inside: streamsOfKind}
	}
	for _, dst := range plainDsts {
		want[dst] = map[uint32]int{plain | inside: streamsOfKind}
	}
	for dst, w := range want {
		if fmt.Sprint(marks[dst]) != fmt.Sprint(w) {
			t.Errorf("%s: connections to %s have the marks %x, not %x", when, dst, marks[dst], w)
		}
	}
}

// The numbers of a growing policy come to need all bits of the mask, and leave one again when it
// shrinks: no packet of a running connection goes astray.
func TestNumbersOutgrowInsideBit(t *testing.T) {
	t.Parallel()
	n := newEditNet(t)
	r, lan := newRouter(n.Router), n.LANs["lan"]
	for _, isp := range n.ISPs {
		isp.NFT(strayTable)
	}
	tables := func(count int) (names []string) {
		for i := range count {
			names = append(names, fmt.Sprintf("more-%d", i))
		}
		return names
	}
	for _, nat := range []string{"masquerade", "none"} {
		of := func(more int) numbering {
			return numbering{0x000000f8, 10000, "specific", "isp2", "secret", "second", nat, tables(more)}
		}
		// Of 31 numbers 15 leave the bit; 5 are for what is there besides.
		t.Log("grows")
		r.changeUnderTraffic(n, lan, of(10), of(11), fewEntries)
		t.Log("shrinks")
		r.changeUnderTraffic(n, lan, of(11), of(10), fewEntries)
	}
}
