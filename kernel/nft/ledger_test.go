//go:build linux

package nft

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"pbr/compiler/plan"
)

// accepting is a chain of one rule.
func accepting(name string) plan.Chain {
	return plan.Chain{Name: name, Rules: []plan.ChainRule{accepted()}}
}

// learner is a second connection in the namespace of n, of the same ledger, as of the part of pbr
// watch that learns members.
func (n *netns) learner(ledger *Ledger) *Conn {
	n.t.Helper()
	var c *Conn
	var err error
	done := make(chan struct{})
	n.work <- func() {
		c, err = Open()
		close(done)
	}
	<-done
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	c.Ledger = ledger
	return c
}

// What was read or applied holds while members alone change, for this process and for others;
// anybody else's change ends that.
func TestLedger(t *testing.T) {
	n := newNetns(t)
	file := filepath.Join(t.TempDir(), "ledger")
	n.conn.Ledger = NewLedger(file)
	learner := n.learner(n.conn.Ledger)
	r := runTimeSets(1000)
	live := n.apply(r)
	snapshot := live.Snapshot()
	learn := func(addr string) {
		t.Helper()
		if err := learner.EditMembers(&r.Sets[2], nil, []Member{member(addr, time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	learn("192.0.2.1")
	learn("192.0.2.2")
	command := n.learner(NewLedger(file))
	if _, same := command.Load(snapshot, r); !same {
		t.Error("a snapshot from before the members does not hold for another process")
	}
	if blind, same := n.learner(nil).Load(snapshot, r); same || blind == nil {
		t.Error("it holds without a ledger")
	}
	more := runTimeSets(1000)
	more.Chains = append(more.Chains, accepting("more"))
	old := live.Generation
	live, err := n.conn.Apply(live, more, diff(live, more))
	if err != nil {
		t.Fatalf("what was applied before members came is no base for a change: %v", err)
	}
	if live.Generation == old {
		t.Error("the generation stays")
	}
	learn("192.0.2.3")
	if !n.conn.Unchanged(live) {
		t.Error("a member learned after a change counts as somebody's change")
	}
	n.load("add table ip other")
	learn("192.0.2.4")
	if n.conn.Unchanged(live) {
		t.Error("somebody else's change is not seen")
	}
	if _, err := n.conn.Apply(live, r, diff(live, r)); !errors.Is(err, ErrChanged) {
		t.Errorf("a change from what others changed since: %v", err)
	}
	n.members("list-b-4", "192.0.2.1-192.0.2.1 1h0m0s 1h0m0s", "192.0.2.2-192.0.2.2 1h0m0s 1h0m0s",
		"192.0.2.3-192.0.2.3 1h0m0s 1h0m0s", "192.0.2.4-192.0.2.4 1h0m0s 1h0m0s")
}

// A member that is there already makes no generation when it is added again. The table can be
// changed afterwards, and the next change by somebody else is seen.
func TestLedgerOfEditsWithoutEffect(t *testing.T) {
	n := newNetns(t)
	file := filepath.Join(t.TempDir(), "ledger")
	n.conn.Ledger = NewLedger(file)
	r := runTimeSets(10)
	live := n.apply(r)
	again := func() {
		t.Helper()
		if err := n.learner(NewLedger(file)).EditMembers(&r.Sets[2], nil, []Member{member("192.0.2.1", time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	again()
	again()
	more := runTimeSets(10)
	more.Chains = append(more.Chains, accepting("more"))
	live, err := n.conn.Apply(live, more, diff(live, more))
	if err != nil {
		t.Fatalf("after an addition without effect the table cannot be changed: %v", err)
	}
	again()
	n.load("add table ip other")
	if n.conn.Unchanged(live) {
		t.Error("after an addition without effect somebody else's change counts as ours")
	}
}

// The table is read and changed while members come all the time.
func TestLedgerUnderLearning(t *testing.T) {
	n := newNetns(t)
	n.conn.Ledger = NewLedger(filepath.Join(t.TempDir(), "ledger"))
	learner := n.learner(n.conn.Ledger)
	r := runTimeSets(1000)
	for range 300 {
		r.Chains = append(r.Chains, accepting(string(rune('a'+len(r.Chains)%26))+"x"+string(rune('a'+len(r.Chains)/26))))
	}
	live := n.apply(r)
	stop, ended := make(chan struct{}), make(chan error)
	go func() {
		one := member("192.0.2.1", time.Hour)
		err := learner.EditMembers(&r.Sets[2], nil, []Member{one})
		for err == nil {
			select {
			case <-stop:
				ended <- nil
				return
			default:
				err = learner.EditMembers(&r.Sets[2], []Member{one}, []Member{one})
			}
		}
		ended <- err
	}()
	fewer := runTimeSets(1000)
	for range 10 {
		if read, err := n.conn.Read(nil); err != nil || diff(read, r).Ruleset() {
			t.Errorf("read: %v", err)
		}
		var err error
		if live, err = n.conn.Apply(live, fewer, diff(live, fewer)); err != nil {
			t.Fatalf("changed: %v", err)
		}
		if live, err = n.conn.Apply(live, r, diff(live, r)); err != nil {
			t.Fatalf("changed back: %v", err)
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
