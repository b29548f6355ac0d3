package learn

import (
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
	"pbr/kernel/tap/answer"
	"pbr/kernel/tap/book"
)

// learning is a Learner in a network namespace of its own, with the set of a list of three members.
// The thread stays locked, so that it, and the namespace, end with the test.
type learning struct {
	*testing.T
	l *Learner
}

func newLearning(t *testing.T) *learning {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace (needs root): %v", err)
	}
	n := &learning{T: t}
	n.nft("table inet pbr { set list-a-4 { type ipv4_addr; flags timeout; size 3; }; " +
		"set list-a-6 { type ipv6_addr; flags timeout; size 3; }; set tap-alive { type inet_proto; flags timeout; }; }")
	l, err := New(nft.NewLedger(filepath.Join(t.TempDir(), "ledger")))
	if err != nil {
		t.Fatal(err)
	}
	l.Failed = func(err error) { t.Errorf("failed: %v", err) }
	n.l = l
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return n
}

func (n *learning) nft(script string) string {
	n.Helper()
	out, err := exec.Command("nft", script).CombinedOutput()
	if err != nil {
		n.Fatalf("nft %s: %v\n%s", script, err, out)
	}
	return string(out)
}

// answers gives the learner an answer.
func (n *learning) answers(addr string, ttl uint32) {
	n.Helper()
	n.l.Answer(n.message(addr, ttl), netip.MustParseAddr("192.0.2.53"))
}

// message is an answer.
func (n *learning) message(addr string, ttl uint32) []byte {
	n.Helper()
	name := dnsmessage.MustNewName("www.example.com.")
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Answers: []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET,
			TTL: ttl}, Body: &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()}}}}
	b, err := m.Pack()
	if err != nil {
		n.Fatal(err)
	}
	return b
}

// has waits until the set has addresses.
func (n *learning) has(want ...string) {
	n.Helper()
	var got []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got = nil
		_, list, _ := strings.Cut(n.nft("list set inet pbr list-a-4"), "elements = {")
		list, _, _ = strings.Cut(list, "}")
		for e := range strings.SplitSeq(list, ",") {
			if words := strings.Fields(e); len(words) > 0 {
				got = append(got, words[0])
			}
		}
		if slices.Sort(got); slices.Equal(got, want) {
			return
		}
	}
	n.Errorf("the set has %v, want %v", got, want)
}

// The set follows answers, whatever others do to it meanwhile.
func TestLearner(t *testing.T) {
	n := newLearning(t)
	config := Config{Lists: []List{{Name: "a", Names: []string{"example.com"}, Timeout: time.Hour, Size: 3}}}
	n.l.Configure(config, map[string][]book.Member{})
	n.answers("198.51.100.1", 1)
	n.answers("10.0.0.1", 1) // private
	n.answers("198.51.100.2", 1)
	n.has("198.51.100.1", "198.51.100.2")
	// Somebody took out what is to be renewed.
	n.nft("flush set inet pbr list-a-4")
	n.answers("198.51.100.1", 7200)
	n.has("198.51.100.1")
	// Somebody filled the set.
	n.nft("add element inet pbr list-a-4 { 192.0.2.1, 192.0.2.2 }")
	n.answers("198.51.100.3", 1)
	n.has("192.0.2.2", "198.51.100.1", "198.51.100.3")
	// Full of what was learned: what leaves first goes.
	n.nft("flush set inet pbr list-a-4")
	n.answers("198.51.100.1", 10800)
	for _, addr := range []string{"198.51.100.4", "198.51.100.5"} {
		n.answers(addr, 7200)
	}
	n.answers("198.51.100.6", 7300)
	n.has("198.51.100.1", "198.51.100.5", "198.51.100.6")
	// With the members of the kernel, and names that were kept, another one continues.
	n.l.Configure(Config{}, nil)
	kept := []book.Member{{Addr: netip.MustParseAddr("198.51.100.6"), Name: "kept.example.com"}}
	n.l.Configure(config, map[string][]book.Member{plan.ListSet("a", plan.IPv4): kept})
	got, ok := n.l.Members(plan.ListSet("a", plan.IPv4), time.Now())
	if !ok || len(got) != 3 || got[2].Name != "kept.example.com" || got[2].End.IsZero() {
		t.Errorf("%v, %+v", ok, got)
	}
}

// What is learned while lists change goes into the sets that there are then: an answer that was
// read for the lists from before, and a change that the kernel did not have yet.
func TestLearnerWhileListsChange(t *testing.T) {
	n := newLearning(t)
	before := Config{Lists: []List{{Name: "a", Names: []string{"example.com"}, Timeout: time.Hour, Size: 3}}}
	n.l.Configure(before, nil)
	now := time.Now()
	late := reader{l: n.l, streams: answer.NewStreams()}
	late.renew()
	// A change that nobody has brought into the kernel: the committer is not told of it.
	n.l.mu.Lock()
	s := n.l.sets[plan.ListSet("a", plan.IPv4)]
	for _, c := range s.book.Teach(nil, now, netip.MustParseAddr("198.51.100.1"), "www.example.com", time.Hour) {
		s.note(c)
	}
	n.l.mu.Unlock()
	n.nft("delete set inet pbr list-a-4; delete set inet pbr list-a-6; " +
		"add set inet pbr list-a-4 { type ipv4_addr; flags interval, timeout; size 8; }; " +
		"add set inet pbr list-a-6 { type ipv6_addr; flags interval, timeout; size 8; }")
	after := before
	after.Lists = []List{before.Lists[0], {Name: "a", Names: []string{"example.net"}, Timeout: time.Hour, Size: 3}}
	after.Lists[0].Interval, after.Lists[1].Interval = true, true
	n.l.Configure(after, nil)
	late.message(n.message("198.51.100.2", 1), &answer.Packet{Src: netip.MustParseAddrPort("192.0.2.53:53")}, false, now)
	n.l.wake()
	n.has("198.51.100.1", "198.51.100.2")
}
