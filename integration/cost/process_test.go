package cost

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
)

// cost is what one process took.
type cost struct {
	// cpu is user and system time.
	cpu time.Duration
	// memory is the most it had in memory, in KiB.
	memory int64
}

// measure runs a command to its end inside a host, and returns what it cost.
//
// A shell starts it and ends, and this process, which adopts orphans (see TestMain), waits for it.
// What a process had in memory before exec(2) counts for getrusage(2), and started from here it
// would have had what this one has. The command begins when the shell has ended, which so cannot
// wait for it.
func measure(t testing.TB, h *lab.Host, name string, args ...string) cost {
	t.Helper()
	said := filepath.Join(t.TempDir(), "said")
	start := h.Command("sh", append([]string{"-c", `said=$1; shift; { read -r _; exec "$@" 3<&-; } <&3 >"$said" 2>&1 & echo $!`,
		"sh", said, name}, args...)...)
	held, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	defer release.Close()
	var pid strings.Builder
	start.Stdout, start.ExtraFiles = &pid, []*os.File{held}
	if err := h.Start(start); err != nil {
		t.Fatal(err)
	}
	if err := start.Wait(); err != nil {
		t.Fatal(err)
	}
	_ = release.Close()
	n, err := strconv.Atoi(strings.TrimSpace(pid.String()))
	if err != nil {
		t.Fatal(err)
	}
	c, status, err := await(n)
	if err != nil || status.ExitStatus() != 0 {
		text, _ := os.ReadFile(said)
		t.Fatalf("%s %s: exit status %d, %v: %.1000s", name, strings.Join(args, " "), status.ExitStatus(), err, text)
	}
	return c
}

// await waits for a process to end.
func await(pid int) (c cost, status unix.WaitStatus, err error) {
	var used unix.Rusage
	for {
		if _, err = unix.Wait4(pid, &status, 0, &used); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return c, status, fmt.Errorf("waiting for process %d: %w", pid, err)
	}
	return cost{time.Duration(used.Utime.Nano() + used.Stime.Nano()), int64(used.Maxrss)}, status, nil
}

// adoptOrphans has processes whose parents ended become children of this one.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopting orphans: %w", err)
	}
	return nil
}
