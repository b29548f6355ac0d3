package learn

import "time"

// pace reports whether a process comes to do things in time. Packets that wait for one that does
// not would be late, too.
type pace struct{ stumbled int }

// tick takes a tick that was due at a time and is examined now.
func (p *pace) tick(due, now time.Time) {
	if now.Sub(due) > tooLate {
		p.stumble()
	} else if p.stumbled > 0 {
		p.stumbled--
	}
}

func (p *pace) stumble() { p.stumbled = steady }

// well reports whether the last ticks came in time.
func (p *pace) well() bool { return p.stumbled == 0 }
