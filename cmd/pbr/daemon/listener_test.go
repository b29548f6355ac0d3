package daemon

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// failing is a listener whose first accepts fail.
type failing struct {
	net.Listener
	left atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

// The socket serves again when there are files to open again, and says so once.
func TestAcceptGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{Listener: l}
	f.left.Store(3)
	var log bytes.Buffer
	guarded := Guarded(f, "control socket", slog.New(slog.NewTextHandler(&log, nil)))
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := guarded.Accept()
	if err != nil {
		t.Fatalf("it gave up: %v", err)
	}
	conn.Close()
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "too many open files") {
		t.Errorf("the log has %d lines:\n%s", n, &log)
	}
	ended := make(chan error)
	go func() { _, err := guarded.Accept(); ended <- err }()
	guarded.Close()
	if err := <-ended; err == nil {
		t.Error("a closed listener accepts")
	}
}

// No more than maxClients are served at a time.
func TestClientsAreLimited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	guarded := Guarded(l, "metrics", slog.New(slog.DiscardHandler))
	defer guarded.Close()
	accepted := make(chan net.Conn, 2*maxClients)
	go func() {
		for {
			conn, err := guarded.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	for range maxClients + 1 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	var first net.Conn
	for range maxClients {
		first = <-accepted
		defer first.Close()
	}
	select {
	case <-accepted:
		t.Fatal("one too many is served")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	(<-accepted).Close()
}
