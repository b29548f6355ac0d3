package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"pbr/integration/lab"
)

// deadBeyondGateway makes a provider's internet silent; the gateway itself answers ARP and ping as
// before.
const deadBeyondGateway = `table inet dead {
	chain in {
		type filter hook prerouting priority -350;
		ip daddr != 192.0.2.1 drop
		meta nfproto ipv6 meta l4proto { tcp, udp } drop
	}
	chain out {
		type filter hook output priority -350;
		oifname "up0" meta l4proto { tcp, udp } drop
	}
}
`

// endLimit is how long pbr watch may take to end; it takes a few milliseconds.
const endLimit = 20 * time.Second

// watcher is a pbr watch that runs on the router.
type watcher struct {
	s   *show
	cmd *exec.Cmd

	mu  sync.Mutex
	log bytes.Buffer
}

// Write implements io.Writer for the log.
func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

// watch starts pbr watch; it ends with the test, or by stop.
func (s *show) watch() *watcher {
	s.t.Helper()
	s.print(s.paint(cyan, "$ pbr watch &"))
	w := &watcher{s: s, cmd: s.Router.Command(program, "--config", s.file, "watch")}
	w.cmd.Stderr = w
	if err := s.Router.Start(w.cmd); err != nil {
		s.t.Fatalf("starting pbr watch: %v", err)
	}
	s.t.Cleanup(func() {
		if w.cmd != nil {
			w.stop()
		}
		if s.t.Failed() {
			s.t.Logf("pbr watch said:\n%s", w.text())
		}
	})
	return w
}

func (w *watcher) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// stop ends pbr watch, which must be no error.
func (w *watcher) stop() {
	w.s.t.Helper()
	cmd := w.cmd
	w.cmd = nil
	_ = cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(endLimit):
		_ = cmd.Process.Kill()
		err = errors.Join(errors.New("it had to be killed"), <-ended)
	}
	if err != nil {
		w.s.t.Errorf("pbr watch ended with: %v", err)
	}
}

// waitState waits until the watcher holds that of an uplink.
func (w *watcher) waitState(uplink, state string) {
	w.s.t.Helper()
	lab.WaitFor(w.s.t, uplink+" to be "+state, func() bool {
		var status struct {
			Watch   *struct{ PID int }
			Uplinks []struct{ Name, State string }
		}
		text := w.s.Router.Exec(program, "--config", w.s.file, "status", "--json").Stdout
		if json.Unmarshal([]byte(text), &status) != nil || status.Watch == nil {
			return false
		}
		return slices.Contains(status.Uplinks, struct{ Name, State string }{uplink, state})
	})
}

// tell shows the lines of the log that name something, the last ones that were written since a
// length of the log.
func (w *watcher) tell(since int, words ...string) {
	for _, line := range strings.Split(w.text()[since:], "\n") {
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(line, word) }) {
			w.s.print(line)
		}
	}
}

// failover shows what a watcher does when a line dies that still has its carrier and its gateway.
func (s *show) failover() {
	s.t.Helper()
	for _, isp := range []string{"isp2", "vpn"} {
		s.plugIn(isp)
	}
	w := s.watch()
	for _, uplink := range []string{"isp1", "isp2"} {
		w.waitState(uplink, "up")
	}
	run := s.startTraffic()
	run.waitWay("before", wayBefore)

	s.say("Both lines are up. The laptop pings and downloads; the phone talks; the server has a mail connection open. Now isp1's")
	s.say("internet falls silent. The cable is in, the gateway answers: only the check of what lies beyond can tell.")
	said := len(w.text())
	s.ISPs["isp1"].NFT(deadBeyondGateway)
	w.waitState("isp1", "down")
	run.waitWay("while isp1 is dead", wayDuring)
	w.tell(said, "uplink isp1", "flushed connections", "routes updated")
	s.command("status", 3)

	s.say("")
	s.say("isp1 returns.")
	said = len(w.text())
	s.ISPs["isp1"].NFT("delete table inet dead\n")
	w.waitState("isp1", "up")
	run.waitWay("after isp1's return", wayAfter)
	w.tell(said, "uplink isp1")
	run.end()
	s.say("")
	s.grid(run.rows())
	s.say("Who had isp1 connects again through isp2, and stays there; who had isp2 noticed nothing; new connections use isp1 again.")
	w.stop()
	s.say("pbr watch ends, and leaves everything as it is.")
}
