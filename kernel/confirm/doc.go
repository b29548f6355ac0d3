// Package confirm keeps what an apply that has to be confirmed needs (apply --confirm): what to go
// back to, until when, and who will do it. It reads and writes files; changing the kernel is up to
// its callers.
//
// # The story
//
// Five files of the namespace's directory have a part in it:
//
//	lock           whoever changes the namespace holds it; it goes when the process ends
//	previous.json  the live state before the apply, to go back to
//	pending.json   which apply waits, and until when; with it there is something to confirm
//	pending.guard  locked by the process that will undo it, inherited from the one that applied:
//	               nobody has it, nobody will
//	trial.json     the policy that is tried, for a watch that is started meanwhile
//	               (cmd/pbr/applied)
//
// Under the lock Begin writes them in this order (kernel.SetPending), then the undoing process is
// started (pbr revert --token), and then the kernel is changed. So whatever is killed at any point,
// what was changed is undone in time. When the kernel is changed Renew writes pending.json again:
// the time counts from then. An apply that takes longer than that time has the lock until then, so
// nobody undoes it before.
//
// Confirming removes pending.json: Clear. Undoing applies the policy from before the trial for the
// machine as it is now (cmd/pbr/undo.go), or where that cannot be goes back to previous.json
// (kernel.Revert), and removes pending.json last, so that an undo that is killed between the two is
// completed by the next. Both take the lock. The undoing process waits for it without limit, and
// ends when nothing waits any more: a running watch, which holds the lock for good, undoes by
// itself. Time is counted by CLOCK_BOOTTIME, which nobody can set and which goes on in a suspended
// machine.
package confirm
