package policy

import "time"

// Defaults and bounds of a check by BFD.
const (
	minBFDInterval    = 10 * time.Millisecond
	defaultMultiplier = 3
	maxMultiplier     = 255 // RFC 5880, 4.1: a byte
)

// roundKeys are what a check by BFD has no use for: there are no rounds, and nothing is measured.
var roundKeys = []string{"targets", "quorum", "timeout", "down-after", "up-after", "max-loss", "max-rtt", "max-jitter", "over"}

// multiplier reads the key of that name, which is BFD's alone.
func (s *section) multiplier(c *Check) {
	f := s.fields.Get("multiplier")
	n, pos := s.integer("multiplier", defaultMultiplier, 1, maxMultiplier)
	c.Multiplier = int(n)
	if f != nil && pos.Line != 0 && c.Method != CheckBFD {
		s.errorAt(pos, codeConflict, "multiplier", "write down-after, or method = \"bfd\"",
			"multiplier is for checks by bfd, this one is by %q", c.Method)
	}
}

// sessionParameters reads what a check by BFD has in common with others, and refuses the rest.
func (s *section) sessionParameters(c *Check) {
	c.Interval = s.duration("interval", c.Interval, minBFDInterval, maxInterval)
	for _, key := range roundKeys {
		if f := s.get(key); f != nil {
			s.errorAt(s.p.pos(f.Line, f.Col), codeConflict, key, "leave it out; interval and multiplier are what a check by bfd has",
				"%s has no meaning for a check by bfd: it is a session with the gateway, which is up or down", key)
		}
	}
}

// sessionGateway reports an uplink without a gateway that a session could be with.
func (s *section) sessionGateway(u *Uplink, c *Check) {
	for _, g := range []Gateway{u.Gateway, u.Gateway6} {
		if g.Present && !g.Link {
			return
		}
	}
	s.errorAt(c.Pos, codeMissingKey, "", `write gateway = "ADDRESS" or gateway = "auto" of the uplink, or choose another method`,
		"a check by bfd is a session with the gateway, and the uplink has none")
}
