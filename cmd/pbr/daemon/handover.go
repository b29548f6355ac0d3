package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"time"
)

// How apply works through a running watch. The client asks, and waits for its turn:
//
//	client  {"do":"apply"}
//	watch   {"go":true}                        this client's turn has come
//	client  {"policy":...,"confirm_ns":...}    read now, so that of several applies the newest edit wins
//	watch   {"applied":...} or {"error":...}
const (
	// handLimit is how long a client may take to read and send the policy when it is its turn.
	handLimit = 30 * time.Second
	// handSize limits the policy's size.
	handSize = 1 << 30
	// changeLimit is how long a client waits for a change: the longest lists take half a minute.
	changeLimit = 10 * time.Minute
)

// Handed is what apply sends.
type Handed struct {
	Policy json.RawMessage `json:"policy"`
	// Confirm is the time after which the change is undone unless it is confirmed; 0 means never.
	Confirm time.Duration `json:"confirm_ns,omitempty"`
	// Full has everything compared.
	Full bool `json:"full,omitempty"`
}

// serveApply waits for a client's turn, and applies what it sends.
func serveApply(ctx context.Context, conn net.Conn, c Controlled, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil
	}
	if err := conn.SetDeadline(time.Now().Add(handLimit)); err != nil {
		return err
	}
	var h Handed
	err := json.NewEncoder(conn).Encode(Answer{Go: true})
	if err == nil {
		err = json.NewDecoder(io.LimitReader(conn, handSize)).Decode(&h)
	}
	if err != nil {
		return nil //nolint:nilerr // the client is gone, or found the policy broken
	}
	if h.Full {
		c.CompareAll(ctx)
	}
	applied, err := c.ApplyPolicy(ctx, h.Policy, h.Confirm)
	return answerChange(conn, applied, err)
}

// serveChange confirms or reverts.
func serveChange(ctx context.Context, conn net.Conn, c Controlled, r Request) error {
	do := c.Confirm
	if r.Do == "revert" {
		do = c.Revert
	}
	applied, err := do(ctx)
	return answerChange(conn, applied, err)
}

func answerChange(conn net.Conn, applied *Applied, err error) error {
	a := Answer{Applied: applied}
	if err != nil {
		var d *Declined
		a = Answer{Error: err.Error(), Declined: errors.As(err, &d)}
	}
	if err := conn.SetDeadline(time.Now().Add(requestLimit)); err != nil {
		return err
	}
	return json.NewEncoder(conn).Encode(a)
}

// Answers reports whether a watch serves the socket of that state directory.
func Answers(dir string) bool {
	_, err := Ask(dir, Request{Do: "status"})
	return err == nil
}

// HandOver makes the running watch apply a policy, which read returns when it is this client's
// turn. The error is ErrNotRunning if no watch runs, or if it ended before, and ErrBusy if the turn
// does not come in time.
func HandOver(dir string, patience time.Duration, read func() (*Handed, error)) (*Applied, error) {
	conn, err := dial(dir)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(max(patience, requestLimit/10))); err != nil {
		return nil, fmt.Errorf("asking pbr watch: %w", err)
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	a := &Answer{}
	err = out.Encode(Request{Do: "apply"})
	if err == nil {
		err = in.Decode(a)
	}
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		return nil, ErrBusy
	case err != nil:
		return nil, ErrNotRunning
	case !a.Go:
		return nil, errors.New(a.Error)
	}
	h, err := read()
	if err != nil {
		return nil, err
	}
	return ask(conn, in, out, h)
}

// ErrBusy means that the watch is busy with other clients.
var ErrBusy = errors.New("another pbr apply is at work in this network namespace")

// Change makes the running watch "confirm" or "revert". The error is ErrNotRunning if there is
// none.
func Change(dir, what string) (*Applied, error) {
	conn, err := dial(dir)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return ask(conn, json.NewDecoder(conn), json.NewEncoder(conn), Request{Do: what})
}

// ask sends a request for a change, and waits for its end.
func ask(conn net.Conn, in *json.Decoder, out *json.Encoder, request any) (*Applied, error) {
	a := &Answer{}
	err := conn.SetDeadline(time.Now().Add(changeLimit))
	if err == nil {
		err = out.Encode(request)
	}
	if err == nil {
		err = in.Decode(a)
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("pbr watch ended before it answered: pbr status shows what is in force")
	case err != nil:
		return nil, fmt.Errorf("asking pbr watch: %w", err)
	case a.Declined:
		return nil, &Declined{a.Error}
	case a.Error != "":
		return nil, errors.New(a.Error)
	case a.Applied == nil:
		return &Applied{}, nil
	}
	return a.Applied, nil
}

// dial connects to the control socket.
func dial(dir string) (net.Conn, error) {
	conn, err := net.DialTimeout("unix", filepath.Join(dir, SocketName), requestLimit)
	if errors.Is(err, fs.ErrNotExist) || refused(err) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("asking pbr watch: %w", err)
	}
	return conn, nil
}
