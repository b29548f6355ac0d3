package integration

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"pbr/integration/lab"
)

// leaks are connections of the strict host that left by another uplink. They may while what others
// deleted is not yet repaired, and no longer: pbr cannot route what it has no rules for.
type leaks struct {
	w *watched
	// foreign is what others have.
	foreign string
	// whole is how many ip rules, chains and ending routes there are while pbr's state is whole.
	whole int

	mu      sync.Mutex
	asked   int
	through []span
	exposed []span
}

// deletionTime is how long a command that deletes something may take.
const deletionTime = 200 * time.Millisecond

// span is from one time to another; to is zero while it lasts.
type span struct{ from, to time.Time }

func (s span) overlaps(o span) bool {
	return (o.to.IsZero() || !s.from.After(o.to)) && (s.to.IsZero() || !o.from.After(s.to))
}

func newLeaks(w *watched) *leaks {
	l := &leaks{w: w}
	l.foreign = (&chaos{watched: w}).others()
	l.whole = l.parts()
	return l
}

// parts counts what keeps strict connections in: the rules that lead to tables, the chains that
// mark, the routes that end in unreachable.
func (l *leaks) parts() int {
	run := func(name string, args ...string) string { return l.w.Router.Exec(name, args...).Stdout }
	return strings.Count(run("ip", "rule", "show", "proto", ownProtocol), "\n") +
		strings.Count(run("ip", "route", "show", "table", "all", "proto", ownProtocol), "unreachable") +
		strings.Count(run("nft", "list", "chain", "inet", "pbr", "prerouting"), "\n")
}

// expose notes that somebody is about to delete what is pbr's.
func (l *leaks) expose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exposed = append(l.exposed, span{from: time.Now()})
}

// watch has the strict host open connections, and looks when what was deleted is back, until stop.
func (l *leaks) watch() (stop func()) {
	end := make(chan struct{})
	var both sync.WaitGroup
	for _, do := range []func(){l.ask, l.look} {
		both.Go(func() {
			for {
				select {
				case <-end:
					return
				case <-time.After(20 * time.Millisecond):
					do()
				}
			}
		})
	}
	return func() { close(end); both.Wait() }
}

func (l *leaks) ask() {
	s := span{from: time.Now()}
	seen, err := l.w.lan.AskOnce("udp", byStrict, farEnd, lab.DialOptions{})
	s.to = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.asked++
	}
	if err == nil && seen.By != "isp2" {
		l.through = append(l.through, s)
	}
}

// look ends what is exposed when everything is there. What began after the look continues; so does
// what a trial may go back to: without a watch that is what others had left, whatever it is.
func (l *leaks) look() {
	began := time.Now()
	trial := func() bool {
		_, err := os.Stat(filepath.Join(l.w.Router.StateDir(), "pending.json"))
		return !os.IsNotExist(err)
	}
	if trial() || l.parts() < l.whole || trial() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.exposed {
		if s.to.IsZero() && s.from.Add(deletionTime).Before(began) {
			l.exposed[i].to = time.Now()
		}
	}
}

// report fails the test for each leak that nothing excuses.
func (l *leaks) report() {
	l.w.t.Helper()
	var exposed time.Duration
	for _, s := range l.exposed {
		if s.to.IsZero() {
			s.to = time.Now()
		}
		exposed += s.to.Sub(s.from)
	}
	for _, s := range l.through {
		excused := false
		for _, e := range l.exposed {
			excused = excused || s.overlaps(e)
		}
		if !excused {
			l.w.t.Errorf("a strict connection left by another uplink at %s", s.from.Format("15:04:05.000"))
		}
	}
	l.w.t.Logf("%d strict connections answered, %d of them leaked while others' deletion was not repaired (%d times, %v in all)",
		l.asked, len(l.through), len(l.exposed), exposed.Round(time.Millisecond))
}
