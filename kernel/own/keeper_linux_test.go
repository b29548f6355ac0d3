package own

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// keeping is a Keeper in a network namespace of its own, whose table has the sets. The thread stays
// locked, so that it, and the namespace, end with the test.
type keeping struct {
	*testing.T
	k *Keeper
}

func newKeeping(t *testing.T) *keeping {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace (needs root): %v", err)
	}
	n := &keeping{T: t}
	for _, args := range []string{"link set lo up", "link add w1 type veth peer name x1", "link set x1 up",
		"addr add 192.0.2.2/24 brd + dev w1", "addr add 2001:db8:1::2/64 dev w1 nodad", "link set w1 up"} {
		n.ip(args)
	}
	n.nft(table)
	k, err := New(nft.NewLedger(filepath.Join(t.TempDir(), "ledger")))
	if err != nil {
		t.Fatal(err)
	}
	k.Failed = func(err error) { t.Errorf("failed: %v", err) }
	n.k = k
	return n
}

const table = "table inet pbr { set own-known { type nf_proto; flags timeout; }; " +
	"set own-4 { type ipv4_addr; flags timeout; }; set own-6 { type ipv6_addr; flags timeout; }; }"

func (n *keeping) nft(script string) string { return n.run("nft", script) }

// ip changes what the kernel has, of which the keeper is told as by its listener.
func (n *keeping) ip(args string) {
	n.run("ip", strings.Fields(args)...)
	if n.k != nil {
		n.k.changed.Store(true)
	}
}

func (n *keeping) run(name string, args ...string) string {
	n.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		n.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// has compares the versions that are shown, and what the sets have, with what they should.
func (n *keeping) has(whole string, addrs ...string) {
	n.Helper()
	known, have := n.nft("list set inet pbr own-known"), ""
	for _, version := range []string{"ipv4", "ipv6"} {
		if strings.Contains(known, version+" timeout") {
			have += version[3:]
		}
	}
	if have != whole {
		n.Errorf("the sets are whole for %q, want %q\n%s", have, whole, known)
	}
	var all []string
	for _, family := range plan.Families {
		list, err := n.k.conn.Members(set(family))
		if err != nil {
			n.Fatal(err)
		}
		for _, m := range list {
			if !strings.HasPrefix(m.From.String(), "2001:db8:1::") && m.From.String() != "::1" {
				all = append(all, m.From.String())
			}
		}
	}
	if !slices.Equal(all, addrs) {
		n.Errorf("the sets have %v, want %v", all, addrs)
	}
}

// The sets follow the addresses; they count as whole while they are, and while the keeper says so.
func TestKeeperFollowsAddresses(t *testing.T) {
	n := newKeeping(t)
	n.has("")
	n.k.keep(false)
	n.has("46", "192.0.2.2", "192.0.2.255")
	n.ip("addr add 203.0.113.7/32 dev w1")
	n.ip("addr del 192.0.2.2/24 dev w1")
	n.k.keep(false)
	n.has("46", "203.0.113.7")

	// Whatever the kernel would not let a table decide on counts, whoever made it so.
	n.ip("route add multicast 203.0.113.9 dev w1 table local")
	n.k.keep(false)
	n.has("46", "203.0.113.7", "203.0.113.9")
	n.ip("route del multicast 203.0.113.9 table local")
	n.k.keep(false)
	n.has("46", "203.0.113.7")

	// Whole networks have no place in the sets.
	n.ip("route add local 10.9.0.0/24 dev lo")
	n.k.keep(false)
	n.has("6", "203.0.113.7")
	n.ip("-6 route add local 2001:db8:9::/64 dev lo table 77")
	n.k.keep(false)
	n.has("", "203.0.113.7")
	n.ip("route del local 10.9.0.0/24 dev lo")
	n.ip("-6 route del local 2001:db8:9::/64 dev lo table 77")
	n.k.keep(true)
	n.has("46", "203.0.113.7")

	// What somebody did to the sets is put right with the next sign, and one that has ended is
	// given again.
	n.nft("flush set inet pbr own-4; flush set inet pbr own-known; add element inet pbr own-4 { 9.9.9.9, 203.0.113.7 timeout 1s }")
	n.k.sets = nil
	n.k.keep(true)
	n.has("46", "203.0.113.7")
	if list := n.nft("list set inet pbr own-4"); strings.Contains(list, "timeout 1s") {
		t.Errorf("an own address is going to leave the set by itself:\n%s", list)
	}

	// What the kernel did not tell of is found all the same, later.
	n.run("ip", "addr", "add", "203.0.113.8/32", "dev", "w1")
	for range beatsUnheard {
		n.k.keep(true)
	}
	n.has("46", "203.0.113.7", "203.0.113.8")
	n.ip("addr del 203.0.113.8/32 dev w1")

	n.k.keep(false)
	n.k.Rest(true)
	n.k.keep(false)
	n.has("", "203.0.113.7")
	n.k.Rest(false)
	n.nft("delete table inet pbr")
	n.k.keep(true)
	n.nft(table)
	n.k.keep(false)
	n.has("46", "203.0.113.7")
	n.k.takeBack()
	n.has("", "203.0.113.7")
}

// A watch that follows one that was killed gives a sign of its own, in place of that one's.
func TestKeeperFollowsAKilledOne(t *testing.T) {
	n := newKeeping(t)
	n.nft("add element inet pbr own-known { ipv4 timeout 15s expires 3s, ipv6 timeout 15s expires 3s }")
	n.k.keep(false)
	n.has("46", "192.0.2.2", "192.0.2.255")
	if list := n.nft("list set inet pbr own-known"); !regexp.MustCompile(`ipv4 timeout 15s expires 1[0-9]s`).MatchString(list) {
		t.Errorf("the sign ends with the one from before:\n%s", list)
	}

	// Somebody deletes one of the signs while another has to go.
	n.nft("delete element inet pbr own-known { ipv6 }")
	n.ip("route add local 10.9.0.0/24 dev lo")
	n.k.keep(false)
	n.has("6", "192.0.2.2", "192.0.2.255")
}

// The kernel tells of each address that comes, and of nothing else.
func TestKeeperHears(t *testing.T) {
	n := newKeeping(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); n.k.listen(ctx) }()
	defer func() { cancel(); _ = n.k.events.Close(); <-ended }()
	n.ip("route add 198.51.100.0/24 dev w1")
	n.ip("-6 route add 2001:db8:5::/64 dev w1")
	for _, args := range []string{"addr add 203.0.113.7/32 dev w1", "addr add 2001:db8:7::7/128 dev w1 nodad",
		"route add local 10.9.0.0/24 dev lo", "route add multicast 203.0.113.9 dev w1 table local"} {
		n.k.changed.Store(false)
		n.run("ip", strings.Fields(args)...)
		<-n.k.kick
		if !n.k.changed.Load() {
			t.Errorf("%s: the addresses count as unchanged", args)
		}
		for len(n.k.kick) > 0 {
			<-n.k.kick
		}
	}
}
