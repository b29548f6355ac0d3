package daemon

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// maxClients is how many clients of one socket are served at a time; others wait in the
	// socket's queue.
	maxClients = 64
	// acceptPause is the wait after a failed accept.
	acceptPause = 100 * time.Millisecond
)

// Guarded returns a listener that survives errors of accept, such as too many open files, and has
// at most maxClients connections. name is for the log.
func Guarded(l net.Listener, name string, log *slog.Logger) net.Listener {
	return &guardedListener{Listener: l, name: name, log: log, slots: make(chan struct{}, maxClients), closed: make(chan struct{})}
}

type guardedListener struct {
	net.Listener
	name string
	log  *slog.Logger
	// slots has a slot for each client.
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// guardedConn releases its slot when it is closed.
type guardedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *guardedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// Accept implements net.Listener.
func (l *guardedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &guardedConn{conn, sync.OnceFunc(func() { <-l.slots })}, nil
}

// accept tries until it succeeds or the listener is closed. It logs once that it fails, and once
// that it works again.
func (l *guardedListener) accept() (net.Conn, error) {
	for failed := false; ; failed = true {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil && failed:
			l.log.Info(l.name + ": clients are accepted again")
			return conn, nil
		case err == nil || errors.Is(err, net.ErrClosed):
			return conn, err
		case !failed:
			l.log.Error(l.name+": clients cannot be accepted; trying again", "error", err)
		}
		select {
		case <-time.After(acceptPause):
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// Close implements net.Listener.
func (l *guardedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
