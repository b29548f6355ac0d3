package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// An interface that goes while an apply waits to be confirmed does not keep the apply: all but what
// led over it is as before.
func TestUnconfirmedApplyIsUndoneWithoutAnInterface(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	c.must("apply", "--confirm", confirmTime.String())
	c.IP("link del wan2")
	lab.WaitFor(t, "the undo", func() bool {
		return !strings.Contains(c.Run("nft", "list", "table", "inet", "pbr"), "192.168.10.12")
	})
	if res := c.pbr("confirm"); res.Code != 1 || !strings.Contains(res.Stderr, "nothing waits") {
		t.Errorf("after the undo, confirm: exit status %d, stderr %q", res.Code, res.Stderr)
	}
	c.write(twoUplinks)
	c.must("apply")
	c.inSync()
}

// undoer is the process that waits to undo an apply.
func (c *confirmCase) undoer() int {
	c.T().Helper()
	content, err := os.ReadFile(filepath.Join(c.StateDir(), "pending.json"))
	if err != nil {
		c.T().Fatal(err)
	}
	var pending struct{ Token string }
	if err := json.Unmarshal(content, &pending); err != nil || pending.Token == "" {
		c.T().Fatalf("%s: %v", content, err)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		c.T().Fatal(err)
	}
	for _, f := range files {
		if line, _ := os.ReadFile(f); strings.Contains(string(line), "revert\x00--token\x00"+pending.Token) {
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			return id
		}
	}
	c.T().Fatal("no process waits to undo the apply")
	return 0
}

// abandon applies with a time limit and kills the process that is to keep it.
func (c *confirmCase) abandon(limit time.Duration) {
	c.T().Helper()
	c.must("apply", "--confirm", limit.String())
	if err := syscall.Kill(c.undoer(), syscall.SIGKILL); err != nil {
		c.T().Fatal(err)
	}
	c.is(c.next, "applied")
}

// says waits until a command's standard error has the text.
func (c *confirmCase) says(text string, args ...string) {
	c.T().Helper()
	lab.WaitFor(c.T(), strings.Join(args, " ")+" to say "+strconv.Quote(text),
		func() bool { return strings.Contains(c.pbr(args...).Stderr, text) })
}

// When the process that was to undo an apply is gone, diff says so, and the next apply undoes it
// first.
func TestAbandonedApplyIsUndoneByTheNext(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	const limit = 5 * time.Second // long enough for a busy machine to look in time
	c.abandon(limit)
	step := steps.Of(t)
	step.Run("before the time is over apply refuses", func(t *testing.T) {
		res := c.pbr("apply")
		if res.Code != 1 || !strings.Contains(res.Stderr, "the process that would undo it is gone") {
			t.Errorf("before the time is over, apply: exit status %d, stderr %q", res.Code, res.Stderr)
		}
		c.is(c.next, "before the time is over")
	})
	step.Run("diff says that nobody will undo it", func(t *testing.T) {
		c.says("but the process for that is gone", "diff")
		c.is(c.next, "after diff")
	})
	step.Run("after it the next apply undoes first", func(t *testing.T) {
		c.write(twoUplinks)
		if res := c.pbr("apply"); res.Code != 0 || !strings.Contains(res.Stderr, "undoing it first") ||
			!strings.Contains(res.Stdout, "in sync") {
			t.Errorf("apply: exit status %d, stdout %q, stderr %q", res.Code, res.Stdout, res.Stderr)
		}
		c.is(c.old, "after apply")
		if res := c.pbr("diff"); res.Code != 0 || res.Stderr != "" {
			t.Errorf("diff: exit status %d, stderr %q", res.Code, res.Stderr)
		}
	})
}

// What nobody undoes can still be kept.
func TestAbandonedApplyCanBeConfirmed(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	c.abandon(confirmTime)
	c.says("but the process for that is gone", "diff")
	if res := c.pbr("confirm"); res.Code != 0 || !strings.Contains(res.Stderr, "is gone") || !strings.Contains(res.Stdout, "stays") {
		t.Errorf("confirm: exit status %d, stdout %q, stderr %q", res.Code, res.Stdout, res.Stderr)
	}
	c.is(c.next, "confirmed")
	c.inSync()
}
