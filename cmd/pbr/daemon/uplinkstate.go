package daemon

import (
	"slices"

	"pbr/healthcheck"
)

// Mixed is the state of an uplink whose versions differ.
const Mixed = "mixed"

// UplinkState is an uplink with the status of each version that it carries, IPv4 first.
type UplinkState struct {
	Uplink   string
	Versions []healthcheck.Status
}

// UplinkStates gathers statuses by uplink, in their order.
func UplinkStates(lines []healthcheck.Status) (list []UplinkState) {
	for _, s := range lines {
		at := slices.IndexFunc(list, func(u UplinkState) bool { return u.Uplink == s.Uplink })
		if at < 0 {
			at = len(list)
			list = append(list, UplinkState{Uplink: s.Uplink})
		}
		list[at].Versions = append(list[at].Versions, s)
	}
	return list
}

// Usable reports whether the uplink takes new connections of some version.
func (u UplinkState) Usable() bool {
	return slices.ContainsFunc(u.Versions, func(s healthcheck.Status) bool { return s.State.Usable() })
}

// Failed reports whether a version that the uplink should have is unused or doubtful.
func (u UplinkState) Failed() bool {
	return slices.ContainsFunc(u.Versions, func(s healthcheck.Status) bool { return s.State.Failed() })
}

// State returns the versions' state if they agree, otherwise Mixed. Absent ones do not count.
func (u UplinkState) State() string {
	shown := u.Shown()
	for _, s := range shown {
		if s.State != shown[0].State {
			return Mixed
		}
	}
	if len(shown) == 0 {
		return string(healthcheck.Absent)
	}
	return string(shown[0].State)
}

// Shown are the versions that are not absent.
func (u UplinkState) Shown() []healthcheck.Status {
	return slices.DeleteFunc(slices.Clone(u.Versions), func(s healthcheck.Status) bool { return s.State == healthcheck.Absent })
}
