package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
)

// withMany is watchPolicy with a policy for a list in a file beside it.
const withMany = watchPolicy +
	"\n[lists]\nmany = { file = \"many.txt\" }\n[[policy]]\nname = \"many\"\ndst = \"@many\"\nuplink = \"isp2\"\n"

// longList is a file with that many addresses, none beside another.
func (w *watched) longList(n int) {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "10.%d.%d.%d\n", i>>15, i>>7&255, i<<1&255)
	}
	w.other("many.txt", b.String())
}

// longNetworks is a file with that many networks, none beside another: the kernel takes longer for
// these.
func (w *watched) longNetworks(n int) {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d.%d.%d.%d/31\n", 32+i>>22, i>>14&255, i>>6&255, i<<2&255)
	}
	w.other("many.txt", b.String())
}

// slowest asks for the status again and again until stop, which returns the longest answer.
func (w *watched) slowest() (stop func() time.Duration) {
	end, worst := make(chan struct{}), make(chan time.Duration, 1)
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
	var ended sync.Once
	stop = func() time.Duration { ended.Do(func() { close(end) }); return <-worst }
	w.t.Cleanup(func() { ended.Do(func() { close(end) }) })
	return stop
}

// quickRounds is how often a failover beside a long list is measured at most: whatever else the
// machine does meanwhile makes one late, too.
const quickRounds = 3

// longListTime is how long a long list may take beside failovers without end.
const longListTime = time.Minute

// failover has isp1 fail its checks and come back, and returns how long its routes took to go.
func (w *watched) failover() time.Duration {
	w.t.Helper()
	routed := func() bool { return strings.Contains(w.Router.Run("ip", "route", "show", "table", "112000"), "wan1") }
	began := time.Now()
	w.dead("isp1", "9.9.9.9")
	lab.WaitFor(w.t, "failover", func() bool { return !routed() })
	took := time.Since(began)
	w.alive("isp1", "9.9.9.9")
	lab.WaitFor(w.t, "its return", routed)
	return took
}

// takenOut takes isp1 out of use and gives it back, and returns how long the former took: all that
// a failover does when its checks have failed.
func (w *watched) takenOut() time.Duration {
	w.t.Helper()
	order := func(mode string) {
		if answer, err := unixAsk(w.socket(), `{"do":"force","uplink":"isp1","mode":"`+mode+`"}`); err != nil ||
			strings.Contains(answer, "error") {
			w.t.Fatalf("isp1 %s: %v, %s", mode, err, answer)
		}
	}
	began := time.Now()
	order("down")
	took := time.Since(began)
	if table := w.Router.Run("ip", "route", "show", "table", "112000"); strings.Contains(table, "wan1") {
		w.t.Errorf("isp1 is in use after all:\n%s", table)
	}
	order("auto")
	return took
}

// reloads asks for a reload; done reports whether it came to its end.
func (w *watched) reloads() (done func() bool) {
	count := func() int { return strings.Count(w.log.text(), "reloaded the policy") }
	before := count()
	w.hangUp()
	return func() bool { return count() > before }
}

// applies is reloads by a command.
func (w *watched) applies() (done func() bool) {
	ended := make(chan lab.Result, 1)
	go func() { ended <- w.router.pbr("apply") }()
	return func() bool {
		select {
		case res := <-ended:
			says(w.t, res, 0)
			return true
		default:
			return false
		}
	}
}

// besideLongList brings a long list into force, and returns the longest of the failovers meanwhile.
func (w *watched) besideLongList(begin func() (done func() bool)) (worst time.Duration, failovers int) {
	w.t.Helper()
	w.router.write(watchPolicy)
	w.router.must("apply")
	w.router.write(withMany)
	done := begin()
	for end := time.Now().Add(lab.Patience(longListTime)); !done(); failovers++ {
		worst = max(worst, w.takenOut())
		if time.Now().After(end) {
			w.t.Fatalf("the long list is not in force after %d failovers", failovers)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return worst, failovers
}

// While a very long list is read, compiled and sent, by a reload or an apply, uplinks fail over:
// what comes after the failed checks takes at most twice as long as these do, and the status
// answers all the time.
func TestLongListBesideFailover(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.longNetworks(100_000)
	usual := w.failover()
	for _, bring := range []struct {
		how   string
		begin func() (done func() bool)
	}{{"reload", w.reloads}, {"apply", w.applies}} {
		quick := false
		for range quickRounds {
			status := w.slowest()
			worst, failovers := w.besideLongList(bring.begin)
			asked := status()
			t.Logf("%s: %d failovers meanwhile, the slowest in %v; with its checks one takes %v; the "+
				"slowest status in %v", bring.how, failovers,
				worst.Round(time.Millisecond), usual.Round(time.Millisecond), asked.Round(time.Millisecond))
			if quick = worst < 2*usual && asked < 2*usual; quick {
				break
			}
		}
		if !quick {
			t.Errorf("%s: failover takes more than three times as long as without a long list", bring.how)
		}
	}
	w.inForce(withMany, "in the end")
}

// A pipe that nobody writes to is not a list, and holds nothing up.
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
