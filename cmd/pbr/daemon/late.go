package daemon

import "time"

// sweepLate deletes the connections that late answers to deleted ones have begun, as an Apply does,
// and looks again at growing intervals: until then their packets bypass every policy.
func (w *Watcher) sweepLate() {
	w.late = nil
	n, again, err := w.Kernel.SweepLate()
	switch {
	case err != nil:
		w.Log.Warn("looking for connections that late answers began", "error", err)
	case n > 0:
		w.Log.Info("deleted connections that late answers to deleted ones began", "connections", n)
	}
	if again > 0 {
		w.late = time.NewTimer(again)
	}
}

// lateDue is when to look next; never if no answer is expected.
func (w *Watcher) lateDue() <-chan time.Time {
	if w.late == nil {
		return nil
	}
	return w.late.C
}
