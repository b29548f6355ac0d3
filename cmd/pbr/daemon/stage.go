package daemon

import (
	"context"

	"pbr/compiler"
)

// stage prepares the slow part of applying a policy, while uplinks still fail over with the present
// one. If it fails, the following apply does everything at once, or reports the error.
func (w *Watcher) stage(ctx context.Context, prepared *compiler.Compiler) {
	if want, _ := prepared.Compile(w.host, w.health.down); want != nil {
		if err := w.Kernel.Stage(ctx, want, func() { w.between(ctx) }); err != nil && ctx.Err() == nil {
			w.Log.Info("the policy could not be prepared in parts", "error", err)
			w.unstage()
		}
	}
	w.compiler = prepared
}

// unstage removes what was prepared and is not in force.
func (w *Watcher) unstage() {
	if err := w.Kernel.Unstage(); err != nil {
		w.Log.Warn("removing what was prepared for a policy", "error", err)
	}
}

// heard is how many kernel events are handled between two parts: a storm of them must not delay the
// preparation for ever.
const heard = 100

// between does what cannot wait while a policy is prepared: it handles link events and orders, and
// follows the uplinks' states.
func (w *Watcher) between(ctx context.Context) {
	if w.Watchdog > 0 {
		w.Notify("WATCHDOG=1")
	}
	for range heard {
		select {
		case n, ok := <-w.KernelEvents:
			if !ok {
				return // -- the loop handles it
			}
			w.kernelEvent(n)
			continue
		case do := <-w.orders:
			do()
			continue
		case job := <-w.flusher.done:
			w.flushDone(job)
			continue
		default:
		}
		break
	}
	if events := w.waitingEvents(); len(events) > 0 {
		w.react(ctx, w.pendingEvents(ctx, events))
	}
}
