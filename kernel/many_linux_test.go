package kernel

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pbr/compiler"
)

// manyDestinations is how many destinations a table routes over one uplink.
const manyDestinations = 10_000

// manyPolicy has a table of destinations over isp1.
func manyPolicy() string {
	var b strings.Builder
	b.WriteString(twoUplinks + "\n[[table]]\nname = \"partners\"\nroutes = [\n")
	for i := range manyDestinations {
		fmt.Fprintf(&b, "  { dst = \"10.%d.%d.%d/32\", uplink = \"isp1\" },\n", i>>16, i>>8&255, i&255)
	}
	b.WriteString("  { uplink = \"isp2\" },\n]\n\n[[policy]]\nname = \"partners\"\nsrc = \"172.16.0.0/12\"\ntable = \"partners\"\n")
	return b.String()
}

// The routes of a table with many destinations leave a dead uplink, come back, and are flushed, in
// a time that is proportional to their number: a tenth to a fifth of a second. Deleting them one by
// one, with a list for each, takes minutes. The limits are for a loaded machine.
func TestManyRoutesLeaveADeadUplink(t *testing.T) {
	k := newKernel(t)
	up, down := compile(t, k, manyPolicy(), nil), compile(t, k, manyPolicy(), compiler.Down(map[string]int{"isp1": 1}))
	apply(t, k, up)
	timed := func(what string, do func() error) {
		t.Helper()
		began := time.Now()
		must(t, do())
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s takes %s", what, took)
		} else {
			t.Logf("%s takes %s", what, took)
		}
	}
	timed("leaving a dead uplink", func() error { _, err := k.Update(context.Background(), down); return err })
	if n := strings.Count(run(t, "ip route show table all proto 112"), "10."); n > 100 {
		t.Errorf("%d routes are left", n)
	}
	timed("coming back", func() error { _, err := k.Update(context.Background(), up); return err })
	holds(t, k, up)
	timed("flush", func() error { _, err := k.Flush(context.Background()); return err })
	if left := run(t, "ip route show table all proto 112"); left != "" {
		t.Errorf("flush left %.200s", left)
	}
}
