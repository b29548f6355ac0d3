package daemon

import (
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// FoundHolds is how long the states that a watch found count after it saved them last. A restart or
// an update of the daemon, and an apply in between, take less, and must not move traffic to a
// failed uplink. After that time nobody maintains the states, and an uplink that never comes back
// is worse than one that may have failed.
const FoundHolds = 5 * time.Minute

// LastHealth is the uplinks' last known health, for commands while no watch runs.
type LastHealth struct {
	// Uplinks are, in the policy's order, those that the administrator forced, and those that the
	// last watch found unusable, for FoundHolds. A bad link that is good now no longer counts, nor
	// does the hold time of a flapping link.
	Uplinks []healthcheck.Status
	// Down has those of them that must not be used, in the order in which they went down.
	Down compiler.Health
	// Age is the time since the last watch saved its states.
	Age time.Duration
	// Source is all that the rest depends on beside policy and machine.
	Source HealthSource
}

// HealthSource is what the last watch left.
type HealthSource struct {
	// Text is that of the state file, Fresh means that what was found still counts.
	Text  string
	Fresh bool
}

// ReadHealthSource reads the state file of the last watch, as ReadLastHealth does.
func ReadHealthSource(file string, uptime time.Duration) (HealthSource, error) {
	s, text, err := readState(file)
	return HealthSource{text, text != "" && fresh(uptime-s.Noted)}, err
}

// ReadLastHealth reads the state file of the last watch. uptime is the time since boot, as
// Options.Uptime. A missing file gives an empty LastHealth.
func ReadLastHealth(file string, doc *policy.Document, host plan.HostFacts, uptime time.Duration) (LastHealth, error) {
	s, text, err := readState(file)
	if err != nil {
		return LastHealth{}, err
	}
	last := LastHealth{Down: compiler.Health{}, Age: uptime - s.Noted}
	last.Source = HealthSource{text, text != "" && last.fresh()}
	links := Links(doc, host)
	for _, uv := range UplinkVersions(doc) {
		status, known := s.status(uv)
		if !known || !last.counts(status, links[uv]) {
			continue
		}
		if state, why := links[uv].State(); state != "" && ofLink(status) {
			status.State, status.LastFailure = state, why
		}
		last.Uplinks = append(last.Uplinks, status)
		if !status.State.Usable() {
			last.Down[keyOf(uv)] = max(s.Down[keyOf(uv)], 1)
			if status.Closed {
				last.Down[keyOf(uv)] = compiler.Spent
			}
		}
	}
	for uv, order := range s.Down {
		if uv.Table != "" && last.fresh() {
			last.Down[uv] = order
		}
	}
	return last, nil
}

// counts reports whether a status counts without a watch.
func (l LastHealth) counts(s healthcheck.Status, link healthcheck.LinkState) bool {
	switch {
	case s.State == healthcheck.ForcedUp || s.State == healthcheck.ForcedDown:
		return true
	case ofLink(s):
		return l.fresh() && !link.Good()
	}
	return l.fresh() && s.State != healthcheck.Absent && !s.State.Usable()
}

// ofLink reports whether a status comes from the link alone.
func ofLink(s healthcheck.Status) bool {
	return s.State == healthcheck.LinkDown || s.State == healthcheck.AddressLost || s.State == healthcheck.NoGateway ||
		s.State == healthcheck.Standby || s.LinkOnly
}

func (l LastHealth) fresh() bool { return fresh(l.Age) }

func fresh(age time.Duration) bool { return age >= 0 && age < FoundHolds }
