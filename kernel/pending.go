package kernel

import "time"

// Pending is an apply that is undone at a time unless it is confirmed before.
type Pending struct {
	// Token tells this apply from others: the process that is to undo it knows it.
	Token string `json:"token"`
	// End is when it is to be undone, by the time since the machine started.
	End time.Duration `json:"end"`
	// Failure is why undoing it failed, "" if that was not tried.
	Failure string `json:"failure,omitempty"`
	// Left is the time until then, negative afterwards.
	Left time.Duration `json:"-"`
	// Guarded tells that a process waits to undo it, or tries to.
	Guarded bool `json:"-"`
}
