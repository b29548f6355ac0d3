package daemon

import (
	"context"

	"pbr/compiler"
)

// stage prepares what takes long in bringing a policy into force, while uplinks go on to fail over
// by the one that is. What fails here is left to the apply that follows, which does it in one go,
// or tells why that cannot be.
func (w *Watcher) stage(ctx context.Context, prepared *compiler.Compiler) {
	if want, _ := prepared.Compile(w.host, w.health.down); want != nil {
		if err := w.Kernel.Stage(ctx, want, func() { w.between(ctx) }); err != nil && ctx.Err() == nil {
			w.Log.Info("what takes long could not be prepared", "error", err)
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

// heard is how much news of the kernel is heard of between two parts: a storm of it is not to hold
// up what is prepared for ever.
const heard = 100

// between does what cannot wait while a policy is prepared: it hears of links, takes orders, and
// follows the uplinks' states.
func (w *Watcher) between(ctx context.Context) {
	if w.Watchdog > 0 {
		w.Notify("WATCHDOG=1")
	}
	for range heard {
		select {
		case n, ok := <-w.KernelEvents:
			if !ok {
				return // the loop tells
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
