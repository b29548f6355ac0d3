package daemon

import (
	"context"
	"errors"
	"time"
)

// call runs f in the loop and waits for it.
func (w *Watcher) call(ctx context.Context, f func()) error { return callBy(ctx, w.calls, f) }

// order is call for what can also run while a policy is being prepared.
func (w *Watcher) order(ctx context.Context, f func()) error { return callBy(ctx, w.orders, f) }

func callBy(ctx context.Context, by chan func(), f func()) error {
	done := make(chan struct{})
	select {
	case by <- func() { f(); close(done) }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Force sets an uplink "up" or "down" whatever its checks say, or returns it to its checks
// ("auto"). It returns when the kernel holds the result.
func (w *Watcher) Force(ctx context.Context, uplink, mode string) error {
	var err error
	var flushed <-chan struct{}
	callErr := w.order(ctx, func() {
		if err = CheckUplink(w.doc, uplink); err != nil {
			return
		}
		if err = w.Monitor.Force(uplink, mode); err == nil {
			w.react(ctx, w.pendingEvents(ctx, nil))
			flushed = w.whenFlushed()
		}
	})
	if callErr != nil || err != nil {
		return errors.Join(callErr, err)
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ChangeQuota makes the administrator's change of a quota. It returns when the kernel holds the
// result.
func (w *Watcher) ChangeQuota(ctx context.Context, uplink string, c QuotaChange) error {
	var err error
	callErr := w.order(ctx, func() {
		if err = CheckUplink(w.doc, uplink); err != nil {
			return
		}
		w.count(time.Now())
		if err = w.quotas.Change(w.doc.Uplink(uplink), c); err == nil {
			w.sendQuotas(time.Now())
			w.saveQuotas(time.Now())
			w.react(ctx, w.pendingEvents(ctx, nil))
		}
	})
	return errors.Join(callErr, err)
}
