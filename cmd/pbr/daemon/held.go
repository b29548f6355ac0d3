package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"time"
)

// An apply that finds by itself that the kernel holds its policy has nothing to hand over: it only
// asks whether that is the one that the watch keeps the kernel to.

// HeldPolicy answers an apply of the policy in force that found the kernel correct. It returns nil
// where there is more to do, or something else in force.
func (w *Watcher) HeldPolicy(ctx context.Context, id PolicyID) (applied *Applied, err error) {
	callErr := w.call(ctx, func() {
		if w.trial != nil || w.reading != nil || w.retry != nil || w.dirty.due || !w.Trials.Is(w.doc, id) {
			return
		}
		w.shared.countReload(true)
		w.logApplied("applied "+w.doc.File, Outcome{})
		applied = w.applied(Outcome{})
	})
	return applied, callErr
}

// CompareAll has the next apply compare everything with what the kernel says.
func (w *Watcher) CompareAll(ctx context.Context) {
	_ = w.order(ctx, w.Kernel.CompareAll) // it fails when the watch ends
}

func serveHeld(ctx context.Context, conn net.Conn, c Controlled, r Request) error {
	if r.Policy == nil {
		return answerChange(conn, nil, errors.New("which policy is held was not said"))
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	applied, err := c.HeldPolicy(ctx, *r.Policy)
	return answerChange(conn, applied, err)
}

// Held tells the running watch that the kernel holds a policy. It returns nil where the watch keeps
// the kernel to another one, or has more to do, or none runs.
func Held(dir string, id PolicyID) *Applied {
	conn, err := dial(dir)
	if err != nil {
		return nil
	}
	defer conn.Close()
	a := &Answer{}
	if err = conn.SetDeadline(time.Now().Add(requestLimit)); err == nil {
		err = json.NewEncoder(conn).Encode(Request{Do: "held", Policy: &id})
	}
	if err == nil {
		err = json.NewDecoder(conn).Decode(a)
	}
	if err != nil || a.Error != "" {
		return nil // an older watch, or one that ends: the whole way tells
	}
	return a.Applied
}
