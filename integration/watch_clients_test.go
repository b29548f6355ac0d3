package integration

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// openFiles is how many files the watch has open.
func (w *watched) openFiles() int {
	w.t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(files)
}

// slowClients connect, and say no more than the beginning of a request.
func (w *watched) slowClients(n int, network, address, begin string) (leave func()) {
	w.t.Helper()
	conns := make([]net.Conn, 0, n)
	leave = func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	w.t.Cleanup(leave)
	var err error
	w.Router.Do(func() {
		for len(conns) < n && err == nil {
			var c net.Conn
			if c, err = net.Dial(network, address); err == nil {
				conns = append(conns, c)
				_, _ = io.WriteString(c, begin) // it may be refused by then
			}
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return leave
}

// Three hundred clients of the metrics that never finish their requests take neither files nor
// attention from the watch.
func TestWatchWithSlowClients(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:9811"
	w := startWatched(t, watchPolicy+"[watch]\nmetrics = \""+address+"\"\n", 2)
	before := w.openFiles()
	leave := w.slowClients(300, "tcp", address, "GET /metr")
	lab.WaitFor(t, "the clients that are served", func() bool { return w.openFiles() >= before+60 })
	if n := w.openFiles() - before; n > 70 {
		t.Errorf("300 clients take %d files", n)
	}
	w.dead("isp1", "9.9.9.9")
	w.waitState("isp1", "down")
	w.waitArrives(byDefault, "isp2")
	leave()
	if text := w.metrics(address); !strings.Contains(text, `pbr_uplink_usable{uplink="isp1"`) {
		t.Errorf("metrics after slow clients:\n%s", text)
	}
	lab.WaitFor(t, "their files to be given back", func() bool { return w.openFiles() < before+10 })
}

// A watch that has no file left to accept clients with accepts them when it has, and fails over
// meanwhile.
func TestWatchWithoutFiles(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	limit := w.openFiles() + 20
	w.Router.Run("prlimit", "--pid", fmt.Sprint(w.cmd.Process.Pid), fmt.Sprintf("--nofile=%d:%[1]d", limit))
	leave := w.slowClients(60, "unix", w.socket(), `{"do":`)
	w.logged("control socket: clients cannot be accepted; trying again", "too many open files")
	w.dead("isp1", "9.9.9.9")
	w.logged("uplink isp1: down")
	leave()
	w.waitState("isp1", "down")
	w.waitArrives(byDefault, "isp2")
	w.logged("control socket: clients are accepted again")
	if n := strings.Count(w.log.text(), "clients cannot be accepted"); n > 5 { // as others leave, some are accepted in between
		t.Errorf("it says so %d times", n)
	}
	w.router.inSync()
}

// unixAsk sends one line to a socket, and returns the answer.
func unixAsk(path, line string) (string, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}
