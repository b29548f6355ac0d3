package main

import (
	"strconv"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// unchecked is the state of an uplink whose link is good and that no watch checks.
const unchecked healthcheck.State = "unchecked"

// uplinkStatus is an uplink's health, as far as it is known, and use.
type uplinkStatus struct {
	Name      string `json:"name"`
	Comment   string `json:"comment,omitempty"`
	Interface string `json:"interface"`
	// checkStatus is that of the versions while they agree; else the state is "mixed", and the rest
	// of the one that is worse. Usable is that of any.
	checkStatus
	// Versions are those that the uplink carries, "ipv4" and "ipv6".
	Versions map[string]checkStatus `json:"versions"`
	// Quota is nil where the uplink has none.
	Quota *daemon.QuotaStatus `json:"quota,omitempty"`
	// Mark pins connections to the uplink, StrictMark those of strict policies where there are any;
	// Table is its pinned table.
	Mark       string `json:"mark"`
	StrictMark string `json:"strict_mark,omitempty"`
	Table      uint32 `json:"table"`
	usage
}

// checkStatus is what is known of an uplink in one version.
type checkStatus struct {
	State string `json:"state"`
	// Usable reports whether new connections may take the uplink.
	Usable        bool       `json:"usable"`
	Since         *time.Time `json:"since,omitempty"`
	RTT           float64    `json:"rtt_ms,omitempty"`
	Jitter        float64    `json:"jitter_ms,omitempty"`
	Loss          *float64   `json:"loss,omitempty"`
	Rounds        int        `json:"rounds,omitempty"`
	LastFailure   string     `json:"last_failure,omitempty"`
	LastFailureAt *time.Time `json:"last_failure_at,omitempty"`
	// why is what is wrong now.
	why        string
	ProbeError string     `json:"probe_error,omitempty"`
	Flaps      int        `json:"flaps"`
	HeldUntil  *time.Time `json:"held_until,omitempty"`
}

// failed reports whether a version that the uplink is meant to have is not in use, or in doubt.
func (c checkStatus) failed() bool {
	return c.State != string(unchecked) && healthcheck.State(c.State).Failed()
}

// failed reports whether something of the uplink is not in use that is meant to be.
func (u uplinkStatus) failed() bool {
	for _, v := range u.Versions {
		if v.failed() {
			return true
		}
	}
	return len(u.Versions) == 0 && u.checkStatus.failed()
}

// rows are the versions that need a line of their own, IPv4 first; none while they agree.
func (u uplinkStatus) rows() (names []string) {
	if u.State != daemon.Mixed {
		return nil
	}
	for _, family := range plan.Families {
		if _, carried := u.Versions[versionKey(family)]; carried {
			names = append(names, versionKey(family))
		}
	}
	return names
}

func versionKey(family plan.Family) string { return "ipv" + strconv.Itoa(int(family)) }

// uplinkStatuses gathers what is known of uplinks.
func uplinkStatuses(lines []healthcheck.Status, o *daemon.Outline) []uplinkStatus {
	list := []uplinkStatus{}
	for _, u := range daemon.UplinkStates(lines) {
		s := uplinkStatus{Name: u.Uplink, Comment: o.Comments["uplink "+u.Uplink], Interface: o.Interface(u.Uplink),
			Versions: map[string]checkStatus{}}
		for _, v := range u.Versions {
			s.Versions[versionKey(plan.Family(v.Version))] = checked(v)
		}
		s.checkStatus = checked(worst(u))
		s.State = u.State()
		s.Usable = false
		for _, v := range s.Versions {
			s.Usable = s.Usable || v.Usable
		}
		list = append(list, s)
	}
	return list
}

// worst is the status of the version that has failed, or else of the first that is there.
func worst(u daemon.UplinkState) healthcheck.Status {
	shown := u.Shown()
	for _, s := range shown {
		if s.State != unchecked && s.State.Failed() {
			return s
		}
	}
	if len(shown) > 0 {
		return shown[0]
	}
	return u.Versions[0]
}

func checked(s healthcheck.Status) checkStatus {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	var loss *float64
	if s.Rounds > 0 {
		loss = &s.Loss
	}
	return checkStatus{
		State: string(s.State), Usable: s.State.Usable() || s.State == unchecked, Since: known(s.Since),
		RTT: ms(s.RTT), Jitter: ms(s.Jitter), Loss: loss, Rounds: s.Rounds,
		LastFailure: s.LastFailure, LastFailureAt: known(s.LastFailureAt), ProbeError: s.ProbeError,
		Flaps: s.Flaps, HeldUntil: known(s.HeldUntil), why: s.Why(),
	}
}

// lines are the states of a policy's uplinks without a watch: the last known health, without what
// only a running watch knows, or the state of the link alone.
func (s *situation) lines(doc *policy.Document) (list []healthcheck.Status) {
	links := daemon.Links(doc, s.host)
	for _, uv := range daemon.UplinkVersions(doc) {
		status := linkStatus(uv, links[uv], daemon.MayLack(doc, s.host, uv))
		for _, last := range s.lastHealth.Uplinks {
			if last.UplinkVersion == uv {
				status = last
				status.RTT, status.Jitter, status.Loss, status.Rounds, status.ProbeError, status.HeldUntil = 0, 0, 0, 0, "", time.Time{}
			}
		}
		list = append(list, status)
	}
	return list
}

// linkStatus is the status of an uplink from its link alone.
func linkStatus(uv healthcheck.UplinkVersion, l healthcheck.LinkState, optional bool) healthcheck.Status {
	state, why := l.State()
	switch {
	case state == "":
		return healthcheck.Status{UplinkVersion: uv, State: unchecked}
	case optional && l.Exists && l.Up && l.Carrier:
		return healthcheck.Status{UplinkVersion: uv, State: healthcheck.Absent}
	}
	return healthcheck.Status{UplinkVersion: uv, State: state, LastFailure: why}
}
