package daemon

import (
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// An order applies to an uplink, whatever IP versions it carries at that moment: a version that a
// later policy adds is under the same order from its first packet on.

// otherVersion returns the same uplink in the other IP version.
func otherVersion(line compiler.Line) compiler.Line {
	if line.Family == plan.IPv4 {
		return compiler.Line{Uplink: line.Uplink, Family: plan.IPv6}
	}
	return compiler.Line{Uplink: line.Uplink, Family: plan.IPv4}
}

// ordered reports whether the administrator set a state.
func ordered(s healthcheck.State) bool {
	return s == healthcheck.ForcedDown || s == healthcheck.ForcedUp
}

// takeOrders takes the versions that an uplink does not carry out of use together with those that
// it does.
func (h *health) takeOrders() {
	for line, s := range h.statuses {
		other := otherVersion(line)
		if _, known := h.statuses[other]; !known && s.State == healthcheck.ForcedDown {
			h.down[other] = h.down[line]
		}
	}
}

// underOrder reports whether an order took an unknown line out of use.
func (h *health) underOrder(line compiler.Line) bool {
	return h.statuses[otherVersion(line)].State == healthcheck.ForcedDown
}

// spreadOrders copies orders to the versions that have no state.
func (s *savedState) spreadOrders() {
	for _, status := range s.Lines[:len(s.Lines):len(s.Lines)] {
		line := lineOf(status.Line)
		other := otherVersion(line)
		if status.Line.Version = healthcheck.Version(other.Family); !ordered(status.State) {
			continue
		}
		if _, known := s.status(status.Line); known {
			continue
		}
		s.Lines = append(s.Lines, status)
		if order := s.Down[line]; order > 0 {
			s.Down[other] = order
		}
	}
}
