package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
)

// withMany is watchPolicy with a policy for a list in a file beside it.
const withMany = watchPolicy + "\n[lists]\nmany = { file = \"many.txt\" }\n[[policy]]\nname = \"many\"\ndst = \"@many\"\nuplink = \"isp2\"\n"

// longList is a file with that many addresses, none beside another.
func (w *watched) longList(n int) {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "10.%d.%d.%d\n", i>>15, i>>7&255, i<<1&255)
	}
	w.other("many.txt", b.String())
}

// slowest asks for the status again and again until stop, which returns the longest answer.
func (w *watched) slowest() (stop func() time.Duration) {
	end, worst := make(chan struct{}), make(chan time.Duration)
	go func() {
		var longest time.Duration
		for {
			select {
			case <-end:
				worst <- longest
				return
			default:
			}
			began := time.Now()
			if conn, err := unixAsk(w.socket(), `{"do":"status"}`); err != nil || !strings.Contains(conn, `"report"`) {
				w.t.Errorf("status: %v, %.100s", err, conn)
			}
			longest = max(longest, time.Since(began))
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() time.Duration { close(end); return <-worst }
}

// sendTime bounds how long the sending of a very long list holds failover up on a busy machine: it is one transaction of the kernel's.
const sendTime = 15 * time.Second

// While a very long list is read and compiled, by a reload or an apply, uplinks fail over; the status answers all the time.
func TestLongListBesideFailover(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.longList(300_000)
	for _, bring := range []struct {
		how   string
		begin func()
	}{
		{"reload", w.hangUp},
		{"apply", func() { go w.router.pbr("apply") }},
	} {
		w.router.write(watchPolicy)
		w.router.must("apply")
		w.router.write(withMany)
		status := w.slowest()
		bring.begin()
		var worst time.Duration
		failovers := 0
		for !strings.Contains(w.Router.Run("nft", "-t", "list", "table", "inet", "pbr"), "many") && failovers < 50 {
			began := time.Now()
			w.dead("isp1", "9.9.9.9")
			lab.WaitFor(t, "failover", func() bool { return !strings.Contains(w.Router.Run("ip", "route", "show", "table", "112000"), "wan1") })
			worst = max(worst, time.Since(began))
			failovers++
			w.alive("isp1", "9.9.9.9")
			lab.WaitFor(t, "its return", func() bool { return strings.Contains(w.Router.Run("ip", "route", "show", "table", "112000"), "wan1") })
		}
		asked := status()
		t.Logf("%s: %d failovers meanwhile, the slowest in %v; the slowest status in %v", bring.how, failovers, worst.Round(time.Millisecond), asked.Round(time.Millisecond))
		if worst > lab.Patience(sendTime) || asked > lab.Patience(5*time.Second) {
			t.Errorf("%s: failover took %v, a status %v", bring.how, worst, asked)
		}
	}
	w.waitState("isp1", "up")
	w.inForce(withMany, "in the end")
}

// A pipe that nobody writes to is no list, and holds nothing up.
func TestListThatIsAPipe(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	if err := unix.Mkfifo(filepath.Join(filepath.Dir(w.router.file), "many.txt"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.router.write(withMany)
	w.hangUp()
	w.logged("reload failed", "many.txt", "regular file")
	says(t, w.router.pbr("apply"), 1, "many.txt", "regular file")
	w.dead("isp1", "9.9.9.9")
	w.waitState("isp1", "down")
	w.waitArrives(byDefault, "isp2")
	if err := os.Remove(filepath.Join(filepath.Dir(w.router.file), "many.txt")); err != nil {
		t.Fatal(err)
	}
	w.longList(3)
	w.hangUp()
	w.logged("reloaded the policy")
}
