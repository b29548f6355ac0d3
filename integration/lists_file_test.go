package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// editedList is a text of n prefixes, of which the edit changes some; the far end is among them.
func editedList(n, edit int) string {
	var b strings.Builder
	fmt.Fprintln(&b, farEnd.Addr())
	for i := range n {
		if i%(n/100) == 0 {
			fmt.Fprintf(&b, "100.%d.%d.%d/31\n", 64+edit%32, i/250%250, i%250/2*2)
		} else {
			fmt.Fprintf(&b, "%d.%d.%d.0/31\n", 10+i/62500, i/250%250, i%250)
		}
	}
	return b.String()
}

// TestListFileEdits changes a hundred entries of a long list again and again while a host connects:
// a running watch takes them over as elements that differ, and no connection goes another way.
func TestListFileEdits(t *testing.T) {
	t.Parallel()
	w := newWatched(t, urlPolicy("1d"), 2)
	file := filepath.Join(filepath.Dir(w.router.file), "list.txt")
	const entries, edits = 20_000, 5
	writeFile(t, file, editedList(entries, 0))
	w.start()
	w.waitArrives(byDefault, "isp2")
	asked, astray := 0, 0
	for edit := 1; edit <= edits; edit++ {
		writeFile(t, file, editedList(entries, edit))
		taken := func() bool { return strings.Count(w.log.text(), "applied changed lists") >= edit }
		until := time.Now().Add(lab.Patience(30 * time.Second))
		for done := false; !done; asked++ {
			done = taken()
			if w.arrives(byDefault) == "isp1" {
				astray++
			}
			if !done && time.Now().After(until) {
				t.Fatalf("edit %d was not taken over", edit)
			}
		}
	}
	if astray > 0 {
		t.Errorf("%d of %d connections went another way", astray, asked)
	}
	if line := w.logLine("applied changed lists"); !strings.Contains(line, "100 elements added, 100 elements removed") {
		t.Errorf("an edit was more than its elements: %s", line)
	}
	w.router.inSync()
}
