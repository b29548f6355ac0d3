package kernel

import "time"

// How an apply is tried (apply --confirm), told as one story. Five files of the namespace's
// directory have a part in it:
//
//	lock            whoever changes the namespace holds it (lock_linux.go); the kernel gives it back when the process ends
//	previous.json   the live state before the apply, to go back to (previous_linux.go)
//	pending.json    which apply waits, and until when; with it there is something to confirm (pending_linux.go)
//	pending.guard   locked by the process that will undo it, inherited from the one that applied: nobody has it, nobody will
//	trial.json      the policy that is tried, for the watch that is started meanwhile (cmd/pbr/applied)
//
// Under the lock SetPending writes them in this order, then the undoing process is started
// (cmd/pbr: pbr revert --token), and then the kernel is changed. So whatever is killed at any
// point, what was changed is undone in time. Confirming removes pending.json: ClearPending. Undoing
// applies the policy from before the trial for the machine as it is now (cmd/pbr/undo.go), or where
// that cannot be goes back to previous.json (Revert), and removes pending.json last, so that an
// undo that is killed between the two is completed by the next. Both take the lock. The undoing
// process waits for it without limit, and ends when nothing waits any more: a running watch, which
// holds the lock for good, undoes by itself. Time is counted by CLOCK_BOOTTIME, which nobody can
// set and which goes on in a suspended machine.

// Pending is an apply that will be undone at a given time unless it is confirmed before.
type Pending struct {
	// Token identifies this apply: the process that has to undo it knows it.
	Token string `json:"token"`
	// End is when it will be undone, as the time since boot.
	End time.Duration `json:"end"`
	// Failure is why undoing it failed, "" if that was not tried.
	Failure string `json:"failure,omitempty"`
	// Left is the time until then, negative afterwards.
	Left time.Duration `json:"-"`
	// Guarded means that a process waits to undo it, or is trying to.
	Guarded bool `json:"-"`
}
