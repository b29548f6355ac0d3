package daemon

import (
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// An order is about an uplink, whatever IP versions it carries at that moment: a version that a
// later policy gives it is under the same order from its first packet on.

// otherVersion is the same uplink in the other IP version.
func otherVersion(line compiler.Line) compiler.Line {
	if line.Family == plan.IPv4 {
		return compiler.Line{Uplink: line.Uplink, Family: plan.IPv6}
	}
	return compiler.Line{Uplink: line.Uplink, Family: plan.IPv4}
}

// ordered reports whether a state is the administrator's.
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

// underOrder reports whether a line that nothing is known of is out of use by an order about its
// uplink.
func (h *health) underOrder(line compiler.Line) bool {
	return h.statuses[otherVersion(line)].State == healthcheck.ForcedDown
}

// spreadOrders notes orders for the versions that nothing was noted of.
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
