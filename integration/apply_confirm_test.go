package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
)

// confirmTime is the shortest that is taken; the tests wait for it once each.
const confirmTime = time.Second

// confirmCase is a router with a policy, and another policy in the file.
type confirmCase struct {
	*router
	old, next string
}

func newConfirmCase(t *testing.T) *confirmCase {
	t.Helper()
	c := &confirmCase{router: newRouter(bench(lab.New(t)).Router)}
	c.apply(twoUplinks + oneMorePolicy)
	c.next = c.ours()
	c.apply(twoUplinks)
	c.old = c.ours()
	c.write(twoUplinks + oneMorePolicy)
	return c
}

func (c *confirmCase) is(state, when string) {
	c.T().Helper()
	if d := diffLines(state, c.ours()); d != "" {
		c.T().Errorf("%s:\n%s", when, d)
	}
}

// becomesOld waits for the undo.
func (c *confirmCase) becomesOld() {
	c.T().Helper()
	lab.WaitFor(c.T(), "the unconfirmed apply to be undone", func() bool { return c.ours() == c.old })
}

func TestUnconfirmedApplyIsUndone(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	start := time.Now()
	c.must("apply", "--confirm", confirmTime.String())
	if time.Since(start) < confirmTime {
		c.is(c.next, "before the time is over")
	}
	c.becomesOld()
	if early := confirmTime - time.Since(start); early > 0 {
		t.Errorf("undone %v too early", early)
	}
	if res := c.pbr("confirm"); res.Code != 1 || res.Stderr == "" {
		t.Errorf("a late confirm: exit status %d, stderr %q", res.Code, res.Stderr)
	}
	c.is(c.old, "after a late confirm")
	// What was undone can be applied again, for good.
	c.must("apply")
	c.is(c.next, "applied again")
}

func TestConfirmedApplyStays(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	// Long enough for a busy machine to confirm in time.
	const limit = 4 * time.Second
	c.must("apply", "--confirm", limit.String())
	start := time.Now()
	c.must("confirm")
	c.is(c.next, "confirmed")
	// The one thing that can only be seen by waiting: that nothing happens at the deadline.
	time.Sleep(time.Until(start.Add(limit + confirmTime/2)))
	c.is(c.next, "after the deadline")
	c.inSync()
}

// The one who waits outlives the terminal: a hang-up of the session, as when a remote login breaks,
// does not keep the change.
func TestUnconfirmedApplyIsUndoneWithoutTerminal(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	master, slave := lab.OpenTerminal(t)
	t.Cleanup(func() { _ = master.Close() })
	// Under nohup the tests run with SIGHUP ignored, and so would the shell.
	cmd := c.Command("env", "--default-signal=HUP", "sh", "-c",
		fmt.Sprintf("%s --config %s apply --confirm %s; echo applied; exec sleep 60", pbrPath, c.file, confirmTime))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(cmd); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	var said strings.Builder
	buf := make([]byte, 1024)
	for !strings.Contains(said.String(), "applied") {
		n, err := master.Read(buf)
		if err != nil {
			t.Fatalf("reading the terminal: %v; it said %q", err, said.String())
		}
		said.Write(buf[:n])
	}
	c.is(c.next, "before the hang-up")
	_ = master.Close() // hangs up: SIGHUP to the session (tty_vhangup)
	if err := cmd.Wait(); err == nil {
		t.Error("the shell outlived its terminal")
	}
	c.becomesOld()
}
