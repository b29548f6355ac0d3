package daemon

import (
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// An order applies to an uplink, whatever IP versions it carries at that moment: a version that a
// later policy adds is under the same order from its first packet on.

// otherVersion returns the same uplink in the other IP version.
func otherVersion(uv compiler.UplinkVersion) compiler.UplinkVersion {
	if uv.Family == plan.IPv4 {
		return compiler.UplinkVersion{Uplink: uv.Uplink, Family: plan.IPv6}
	}
	return compiler.UplinkVersion{Uplink: uv.Uplink, Family: plan.IPv4}
}

// ordered reports whether the administrator set a state.
func ordered(s healthcheck.State) bool {
	return s == healthcheck.ForcedDown || s == healthcheck.ForcedUp
}

// takeOrders takes the versions that an uplink does not carry out of use together with those that
// it does.
func (h *health) takeOrders() {
	for uv, s := range h.statuses {
		other := otherVersion(uv)
		if _, known := h.statuses[other]; !known && s.State == healthcheck.ForcedDown {
			h.down[other] = h.down[uv]
		}
	}
}

// underOrder reports whether an order took an unknown version out of use.
func (h *health) underOrder(uv compiler.UplinkVersion) bool {
	return h.statuses[otherVersion(uv)].State == healthcheck.ForcedDown
}

// spreadOrders copies orders to the versions that have no state.
func (s *savedState) spreadOrders() {
	for _, status := range s.Lines[:len(s.Lines):len(s.Lines)] {
		uv := keyOf(status.UplinkVersion)
		other := otherVersion(uv)
		if status.UplinkVersion.Version = healthcheck.Version(other.Family); !ordered(status.State) {
			continue
		}
		if _, known := s.status(status.UplinkVersion); known {
			continue
		}
		s.Lines = append(s.Lines, status)
		if order := s.Down[uv]; order != 0 {
			s.Down[other] = order
		}
	}
}
