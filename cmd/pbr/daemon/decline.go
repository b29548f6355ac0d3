package daemon

import "fmt"

// Declined is the error for an apply that was not tried. What this machine lacks is no reason for
// it.
type Declined struct{ text string }

func (d *Declined) Error() string { return d.text }

// Decline returns the error, with its reason.
func Decline(format string, args ...any) error { return &Declined{fmt.Sprintf(format, args...)} }
