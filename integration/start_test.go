package integration

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// initLine is a line of Go's GODEBUG=inittrace=1: a package's time, memory and allocations at
// start.
var initLine = regexp.MustCompile(`(?m)^init (pbr/\S+|main) @.*, (\d+) bytes, (\d+) allocs$`)

// startAllocs bounds what pbr's own packages allocate before any command runs. A table that few
// commands use is a lazy.Value.
const startAllocs = 250

// TestStartMakesFewTables: each command pays for what is made at start.
func TestStartMakesFewTables(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(pbrPath, "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	lines, all := initLine.FindAllStringSubmatch(string(text), -1), 0
	for _, line := range lines {
		n, err := strconv.Atoi(line[3])
		if err != nil {
			t.Fatal(err)
		}
		if all += n; n > startAllocs/4 {
			t.Errorf("%s allocates %d times at start", line[1], n)
		}
	}
	if len(lines) < 10 || all > startAllocs {
		t.Errorf("%d allocations of %d packages at start, want at most %d", all, len(lines), startAllocs)
	}
}
