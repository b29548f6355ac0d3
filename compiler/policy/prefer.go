package policy

import "time"

// Prefer is how one of the usable uplinks of equal distance is chosen; the zero value shares
// connections among them.
type Prefer struct {
	// LowestRTT: the quickest one is used alone.
	LowestRTT bool
	// Margin (0 to 1) is by how much, and Hold for how long, another one must be quicker to take
	// over.
	Margin float64
	Hold   time.Duration
}

const (
	defaultMargin = 0.2
	defaultHold   = 10 * time.Second
	minHold       = time.Second
	maxHold       = time.Hour
)

// prefer reads prefer, margin and hold.
func (s *section) prefer() Prefer {
	_, pos := s.word("prefer", "", "lowest-rtt")
	p := Prefer{LowestRTT: pos.Line != 0, Margin: defaultMargin}
	margin, hold := s.fields.Get("margin") != nil, s.fields.Get("hold") != nil
	if m := s.percent("margin"); m != 0 {
		p.Margin = m
	}
	p.Hold = s.duration("hold", defaultHold, minHold, maxHold)
	for key, present := range map[string]bool{"margin": margin, "hold": hold} {
		if present && s.fields.Get("prefer") == nil {
			s.errorAt(s.keyPos(key), codeConflict, key, `add prefer = "lowest-rtt", or leave `+key+` out`,
				"%s says when a quicker uplink is preferred, and prefer is missing", key)
		}
	}
	return p
}
