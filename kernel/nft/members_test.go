//go:build linux

package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// runTimeSets is a table with run-time sets that a rule looks into.
func runTimeSets(size uint32) *plan.Ruleset {
	return &plan.Ruleset{
		Sets: []plan.Set{
			{Name: "list-a-4", Type: plan.TypeIPv4, RunTime: true, Interval: true, Size: size, Comment: "list a"},
			{Name: "list-a-6", Type: plan.TypeIPv6, RunTime: true, Interval: true, Size: size, Comment: "list a"},
			{Name: "list-b-4", Type: plan.TypeIPv4, RunTime: true, Size: size, Comment: "list b"},
		},
		Chains: []plan.Chain{{Name: "c", Kind: "filter", Hook: "input", Rules: []plan.ChainRule{
			accepted(in(plan.FieldIPDAddr, "list-a-4")), accepted(in(plan.FieldIP6DAddr, "list-a-6")),
			accepted(not(in(plan.FieldIPSAddr, "list-b-4"))),
		}}},
	}
}

func member(prefix string, timeout time.Duration) Member {
	from, to, isRange := strings.Cut(prefix, "-")
	if !isRange {
		to = from
	}
	return Member{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Timeout: timeout}
}

// text is what members are, with the time that is left in whole minutes.
func texts(list []Member) (out []string) {
	for _, m := range list {
		out = append(out, fmt.Sprintf("%s-%s %v %v", m.From, m.To, m.Timeout, m.Expires.Round(time.Minute)))
	}
	return out
}

func (n *netns) members(set string, want ...string) {
	n.t.Helper()
	s := findSet(runTimeSets(0), set)
	got, err := n.conn.Members(s)
	if err != nil {
		n.t.Fatal(err)
	}
	if !slices.Equal(texts(got), want) {
		n.t.Errorf("set %s has\n%q, want\n%q", set, texts(got), want)
	}
}

// TestRunTimeSetsKeepTheirMembers puts members into run-time sets and edits the table around them.
func TestRunTimeSetsKeepTheirMembers(t *testing.T) {
	n := newNetns(t)
	r := runTimeSets(1000)
	n.apply(r)
	a4, a6, b4 := &r.Sets[0], &r.Sets[1], &r.Sets[2]
	for set, list := range map[*plan.Set][]Member{
		a4: {member("10.0.0.0-10.0.0.255", 0), member("10.0.1.7", time.Hour), member("255.255.255.0-255.255.255.255", 2*time.Hour)},
		a6: {member("2001:db8::-2001:db8::ffff", time.Hour)},
		b4: {member("192.0.2.1", time.Hour), member("192.0.2.2", 0)},
	} {
		if err := n.conn.EditMembers(set, nil, list); err != nil {
			t.Fatal(err)
		}
	}
	// Somebody else's way to put members in.
	if out, err := n.command("", "nft", "add element inet pbr list-b-4 { 192.0.2.3 timeout 3h }"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantA4 := []string{"10.0.0.0-10.0.0.255 0s 0s", "10.0.1.7-10.0.1.7 1h0m0s 1h0m0s", "255.255.255.0-255.255.255.255 2h0m0s 2h0m0s"}
	wantB4 := []string{"192.0.2.1-192.0.2.1 1h0m0s 1h0m0s", "192.0.2.2-192.0.2.2 0s 0s", "192.0.2.3-192.0.2.3 3h0m0s 3h0m0s"}
	all := func(when string) {
		t.Helper()
		t.Log(when)
		n.members("list-a-4", wantA4...)
		n.members("list-a-6", "2001:db8::-2001:db8::ffff 1h0m0s 1h0m0s")
		n.members("list-b-4", wantB4...)
	}
	all("after they were added")
	read := n.read()
	if c := diff(read, r); c.Ruleset() {
		t.Errorf("members are a difference: %+v", c)
	}
	if guess, same := n.conn.Load(read.Snapshot(), r); !same || diff(guess, r).Ruleset() {
		t.Errorf("the snapshot does not have the sets: %v", same)
	}

	// Another size and another comment make the sets again.
	bigger := runTimeSets(2000)
	bigger.Sets[2].Comment = "another"
	if _, err := n.conn.Apply(read, bigger, diff(read, bigger)); err != nil {
		t.Fatal(err)
	}
	all("after the sets were recreated")
	// As does a table with flags of somebody else's.
	n.load("table inet pbr { flags dormant; }")
	live := n.read()
	live, err := n.conn.Apply(live, bigger, diff(live, bigger))
	if err != nil {
		t.Fatal(err)
	}
	all("after the table was recreated")
	if listing := n.list("set", "inet", "pbr", "list-a-4"); !strings.Contains(listing, "flags interval,timeout") ||
		!strings.Contains(listing, "size 2000") {
		t.Error(listing)
	}

	// A list whose entries are the plan's, and back: what the plan has is not a member.
	fixed := runTimeSets(2000)
	fixed.Sets[0] = plan.Set{Name: "list-a-4", Type: plan.TypeIPv4, Elements: []plan.Element{el(addr("10.9.9.9"))}, Comment: "list a"}
	for _, want := range []*plan.Ruleset{fixed, bigger} {
		if live, err = n.conn.Apply(live, want, diff(live, want)); err != nil {
			t.Fatal(err)
		}
		if c := diff(n.read(), want); c.Ruleset() {
			t.Errorf("differs: %+v", c)
		}
	}
	n.members("list-a-4")
}

// TestMembersChangeTogether removes and adds members in one transaction, or does nothing.
func TestMembersChangeTogether(t *testing.T) {
	n := newNetns(t)
	r := runTimeSets(1000)
	r.Sets[2].Size = 2
	n.apply(r)
	a4, b4 := &r.Sets[0], &r.Sets[2]
	edit := func(set *plan.Set, remove, add []Member, want error) {
		t.Helper()
		if err := n.conn.EditMembers(set, remove, add); !errors.Is(err, want) {
			t.Errorf("editing %s: %v, want %v", set.Name, err, want)
		}
	}
	one, two := member("192.0.2.1", time.Hour), member("192.0.2.2", time.Hour)
	edit(b4, nil, []Member{one, two}, nil)
	edit(b4, nil, []Member{member("192.0.2.3", 0)}, unix.ENFILE)
	edit(b4, []Member{one}, []Member{member("192.0.2.1", 3*time.Hour)}, nil)
	edit(b4, []Member{two, member("192.0.2.9", 0)}, nil, unix.ENOENT)
	n.members("list-b-4", "192.0.2.1-192.0.2.1 3h0m0s 3h0m0s", "192.0.2.2-192.0.2.2 1h0m0s 1h0m0s")

	edit(a4, nil, []Member{member("10.0.0.0-10.0.0.255", 0)}, nil)
	edit(a4, nil, []Member{member("10.0.0.7", time.Hour)}, unix.EEXIST)
	edit(a4, []Member{member("10.0.0.0-10.0.0.255", 0)}, []Member{member("10.0.0.0-10.0.0.6", 0),
		member("10.0.0.7", time.Hour), member("10.0.0.8-10.0.0.255", 0)}, nil)
	n.members("list-a-4", "10.0.0.0-10.0.0.6 0s 0s", "10.0.0.7-10.0.0.7 1h0m0s 1h0m0s", "10.0.0.8-10.0.0.255 0s 0s")
	edit(&plan.Set{Name: "none", Type: plan.TypeIPv4}, nil, []Member{one}, unix.ENOENT)
}

// TestSeedsFillNewRunTimeSets gives members to sets that were not there, and none to those that
// were.
func TestSeedsFillNewRunTimeSets(t *testing.T) {
	n := newNetns(t)
	n.conn.Seeds = func(set string) []Member {
		if set != "list-b-4" {
			return nil
		}
		left := member("192.0.2.1", time.Hour)
		left.Expires = 30 * time.Minute
		return []Member{left, member("192.0.2.2", 2*time.Hour), member("192.0.3.0-192.0.3.255", 0), member("192.0.2.4", time.Minute)}
	}
	r := runTimeSets(2)
	live := n.apply(r)
	// Two of four: the set has no ranges, and those that end first find no room.
	n.members("list-b-4", "192.0.2.1-192.0.2.1 1h0m0s 30m0s", "192.0.2.2-192.0.2.2 2h0m0s 2h0m0s")
	if err := n.conn.EditMembers(&r.Sets[2], []Member{member("192.0.2.1", 0)}, nil); err != nil {
		t.Fatal(err)
	}
	bigger := runTimeSets(3)
	if _, err := n.conn.Apply(n.read(), bigger, diff(live, bigger)); err != nil {
		t.Fatal(err)
	}
	n.members("list-b-4", "192.0.2.2-192.0.2.2 2h0m0s 2h0m0s")
}
