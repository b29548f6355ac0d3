package kernel

import "time"

// Pending is an apply that is undone at a time unless it is confirmed before.
type Pending struct {
	// Token tells this apply from others: the process that is to undo it knows it.
	Token    string    `json:"token"`
	Deadline time.Time `json:"deadline"`
}
