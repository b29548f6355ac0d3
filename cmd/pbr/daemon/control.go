package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"pbr/healthcheck"
)

// SocketName is the control socket's name in the state directory.
const SocketName = "control"

const (
	// requestLimit is how long reading and answering a request may take.
	requestLimit = 10 * time.Second
	// requestSize limits a request, which has three short words.
	requestSize = 4096
)

// ErrNotRunning means that no watch serves the socket.
var ErrNotRunning = errors.New("pbr watch is not running in this network namespace")

// Request is one line of JSON that a client sends.
type Request struct {
	// Do is "status", "events", "measured", "ports", "force", "quota", "lists" (bring fetched lists
	// into force), "keep" (save what DNS answers taught), "apply" (see HandOver), "confirm" or
	// "revert".
	Do string `json:"do"`
	// Uplink and Mode ("up", "down", "auto") are for force.
	Uplink string `json:"uplink,omitempty"`
	Mode   string `json:"mode,omitempty"`
	// Quota is what "quota" changes.
	Quota *QuotaChange `json:"quota,omitempty"`
	// Policy is for "held".
	Policy *PolicyID `json:"policy,omitempty"`
}

// PolicyID tells a policy's text, lists included, and the file it is of from others.
type PolicyID struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Hash string `json:"hash"`
}

// Answer is the one line of JSON that answers it.
type Answer struct {
	Error string `json:"error,omitempty"`
	// Declined means that Error is of an apply that was not tried.
	Declined bool    `json:"declined,omitempty"`
	Report   *Report `json:"report,omitempty"`
	// Events answer "events".
	Events []PastEvent `json:"events,omitempty"`
	// Measured answer "measured".
	Measured []Measured `json:"measured,omitempty"`
	// Ports answer "ports": the source ports of the last probes, by uplink.
	Ports map[string][]healthcheck.Port `json:"ports,omitempty"`
	// Go asks for the policy to apply.
	Go      bool     `json:"go,omitempty"`
	Applied *Applied `json:"applied,omitempty"`
}

// Controlled is what the control socket can do; *Watcher implements it.
type Controlled interface {
	Report() Report
	Events() []PastEvent
	Measured() []Measured
	ProbePorts() map[string][]healthcheck.Port
	Force(ctx context.Context, uplink, mode string) error
	ChangeQuota(ctx context.Context, uplink string, c QuotaChange) error
	KeepNames()
	RefreshLists(ctx context.Context) error
	ApplyPolicy(ctx context.Context, handed json.RawMessage, confirm time.Duration) (*Applied, error)
	HeldPolicy(ctx context.Context, id PolicyID) (*Applied, error)
	CompareAll(ctx context.Context)
	Confirm(ctx context.Context) (*Applied, error)
	Revert(ctx context.Context) (*Applied, error)
}

// Listen opens the control socket for root alone. It replaces one that a killed run left: the
// caller holds the namespace's lock.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replacing the control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("protecting the control socket: %w", err)
	}
	return l, nil
}

// Serve answers clients until ctx ends or l is closed, and closes l.
func Serve(ctx context.Context, l net.Listener, c Controlled, log *slog.Logger) {
	l = Guarded(l, "control socket", log)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var clients sync.WaitGroup
	turn := make(chan struct{}, 1)
	defer clients.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) { // -- closed to be made again
				log.Error("control socket", "error", err)
			}
			return
		}
		clients.Go(func() {
			defer conn.Close()
			if err := serveOne(ctx, conn, c, turn); err != nil {
				log.Warn("control socket", "error", err)
			}
		})
	}
}

// serveOne answers a client. turn is for clients that apply.
func serveOne(ctx context.Context, conn net.Conn, c Controlled, turn chan struct{}) error {
	if err := conn.SetDeadline(time.Now().Add(requestLimit)); err != nil {
		return err
	}
	if err := mayControl(conn); err != nil {
		return errors.Join(err, json.NewEncoder(conn).Encode(Answer{Error: err.Error()}))
	}
	var r Request
	if err := json.NewDecoder(io.LimitReader(conn, requestSize)).Decode(&r); err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	switch r.Do {
	case "apply":
		return serveApply(ctx, conn, c, turn)
	case "confirm", "revert":
		return serveChange(ctx, conn, c, r)
	case "held":
		return serveHeld(ctx, conn, c, r)
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	return json.NewEncoder(conn).Encode(answer(ctx, c, r))
}

func answer(ctx context.Context, c Controlled, r Request) Answer {
	var err error
	switch r.Do {
	case "status":
		report := c.Report()
		return Answer{Report: &report}
	case "events":
		return Answer{Events: c.Events()}
	case "measured":
		return Answer{Measured: c.Measured()}
	case "ports":
		return Answer{Ports: c.ProbePorts()}
	case "force":
		err = c.Force(ctx, r.Uplink, r.Mode)
	case "keep":
		c.KeepNames()
	case "quota":
		if r.Quota == nil {
			r.Quota = &QuotaChange{}
		}
		err = c.ChangeQuota(ctx, r.Uplink, *r.Quota)
	case "lists":
		err = c.RefreshLists(ctx)
	default:
		err = fmt.Errorf("unknown request %q", r.Do)
	}
	if err != nil {
		return Answer{Error: err.Error()}
	}
	return Answer{}
}

// Ask sends a request to the watch whose state directory is dir. The error is ErrNotRunning when
// there is none, and the watch's own words when it refused.
func Ask(dir string, r Request) (*Answer, error) {
	conn, err := dial(dir)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(requestLimit)); err != nil {
		return nil, fmt.Errorf("asking pbr watch: %w", err)
	}
	a := &Answer{}
	err = json.NewEncoder(conn).Encode(r)
	if err == nil {
		err = json.NewDecoder(conn).Decode(a)
	}
	if err != nil {
		return nil, fmt.Errorf("asking pbr watch: %w", err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a, nil
}
