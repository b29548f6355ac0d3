package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// damage deletes a rule, a route and a chain's rules of pbr, as somebody else does.
func (c *confirmCase) damage() {
	c.T().Helper()
	c.IP("rule del pref "+c.aRule(), "route flush table 112000")
	c.Run("nft", "flush", "chain", "inet", "pbr", "classify")
	if res := c.pbr("diff"); res.Code != 2 {
		c.T().Fatalf("after the damage, diff: exit status %d, stderr %q", res.Code, res.Stderr)
	}
}

// aRule is the priority of one of pbr's rules.
func (c *confirmCase) aRule() string {
	c.T().Helper()
	for _, line := range strings.Split(c.Run("ip", "rule"), "\n") {
		if priority, rule, ok := strings.Cut(line, ":"); ok && strings.Contains(rule, "proto 112") {
			return priority
		}
	}
	c.T().Fatal("pbr has no rule")
	return ""
}

// An undo makes the kernel hold the policy from before the trial, whatever others did to it
// meanwhile or before, and whatever came up.
func TestUndoMendsWhatOthersDid(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	c.write(twoUplinks)
	for _, tc := range []struct {
		when           string
		before, during func()
	}{
		{"damaged before the trial", c.damage, func() {}},
		{"damaged during the trial", func() {}, c.damage},
		{"an uplink came up", func() { c.IP("link set wan2 down") }, func() { c.IP("link set wan2 up") }},
	} {
		tc.before()
		c.write(twoUplinks + oneMorePolicy)
		c.must("apply", "--confirm", "10m")
		tc.during()
		c.must("revert")
		c.write(twoUplinks)
		if res := c.pbr("diff"); res.Code != 0 {
			t.Errorf("%s: diff after the undo: exit status %d\n%s%s", tc.when, res.Code, res.Stdout, res.Stderr)
		}
	}
}

// The same holds when nobody confirms in time.
func TestLateUndoMendsWhatOthersDid(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	c.write(twoUplinks)
	c.damage()
	c.write(twoUplinks + oneMorePolicy)
	c.must("apply", "--confirm", confirmTime.String())
	c.becomesOld()
}

// A policy from before that is not known, or cannot be applied any more, is no reason to keep a
// trial: the kernel gets back what it held.
func TestUndoWithoutThePolicyFromBefore(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	c.must("apply", "--confirm", "10m")
	kept := filepath.Join(c.LastingDir(), "policy.json")
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	c.must("revert")
	c.is(c.old, "after the undo")
	c.write(twoUplinks)
	c.must("apply")
	c.write(twoUplinks + oneMorePolicy)
	c.must("apply", "--confirm", "10m")
	c.IP("route flush table 112000", "addr add 192.0.2.1/32 dev lo") // the kernel takes no route via an address of its own
	res := c.pbr("revert")
	says(t, res, 0, "the policy from before the trial cannot be applied", "pbr diff")
	if strings.Contains(c.Run("nft", "list", "table", "inet", "pbr"), "192.168.10.12") {
		t.Error("the policy on trial is in force")
	}
}
