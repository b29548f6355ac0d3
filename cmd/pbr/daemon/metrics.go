package daemon

import (
	"runtime"
	"strconv"

	"pbr/healthcheck"
)

// states are the values of the label "state".
var states = []healthcheck.State{
	healthcheck.Start, healthcheck.Up, healthcheck.Unconfirmed, healthcheck.OverQuota, healthcheck.Standby,
	healthcheck.Degraded, healthcheck.Down, healthcheck.LinkDown,
	healthcheck.AddressLost, healthcheck.NoGateway, healthcheck.Absent, healthcheck.ForcedUp, healthcheck.ForcedDown,
}

// kernelEventNames are the values of the label "kind".
var kernelEventNames = []struct {
	kind KernelEventKind
	name string
}{{HostChanged, "machine"}, {Drift, "drift"}, {Overrun, "overrun"}}

// Metrics returns a report for Prometheus; docs/watch.md lists the names. Unknown values are
// omitted.
func Metrics(r Report) []byte {
	m := &metrics{}
	m.report(&r)
	return m.text()
}

func (m *metrics) report(r *Report) {
	m.uplinks(r.Uplinks)
	m.family("uplink_changes_total", "counter", "Changes of the uplink's state, by the new state.")
	for _, u := range r.Uplinks {
		for _, s := range states {
			if n := r.Numbers.Events[u.UplinkVersion][s]; n > 0 {
				m.sample(float64(n), "uplink", u.Uplink, "version", version(u), "to", string(s))
			}
		}
	}
	n := r.Numbers
	m.one("updates_total", "counter", "Changes of routes for the uplinks' health.", float64(n.Updates))
	m.one("last_update_seconds", "gauge",
		"Duration of the last of these, from the monitor's event to the kernel's routes.", n.UpdateTime.Seconds())
	m.one("connections_cut_total", "counter", "Connections deleted because their uplink went down.", float64(n.Flushed))
	m.one("passes_total", "counter", "Full comparisons of the kernel with the plan.", float64(n.Passes))
	m.one("repairs_total", "counter", "Passes that repaired what somebody else had changed.", float64(n.Repairs))
	m.one("failures_total", "counter", "Attempts to change the kernel that failed.", float64(n.Failures))
	m.family("reloads_total", "counter", "Reloads of the policy.")
	m.sample(float64(n.Reloads-n.ReloadFailures), "result", "ok")
	m.sample(float64(n.ReloadFailures), "result", "failed")
	m.family("notices_total", "counter", "Events from the kernel.")
	for _, k := range kernelEventNames {
		m.sample(float64(n.KernelEvents[k.kind]), "kind", k.name)
	}
	m.one("start_time_seconds", "gauge", "When the watch started, as UNIX time.", unixTime(r.Since.UnixMilli()))
	m.one("policy_loaded_time_seconds", "gauge", "When the policy in force was read, as UNIX time.", unixTime(r.Loaded.UnixMilli()))
	m.use(r.Use)
	m.describe("go_goroutines", "gauge", "Goroutines of the process.")
	m.sample(float64(runtime.NumGoroutine()))
}

func (m *metrics) uplinks(list []healthcheck.Status) {
	each := func(name, kind, help string, value func(healthcheck.Status) (v float64, ok bool)) {
		m.family(name, kind, help)
		for _, u := range list {
			if v, ok := value(u); ok {
				m.sample(v, "uplink", u.Uplink, "version", version(u))
			}
		}
	}
	type status = healthcheck.Status
	each("uplink_usable", "gauge", "1 when the uplink takes new connections.",
		func(u status) (float64, bool) { return truth(u.State.Usable()), true })
	m.family("uplink_state", "gauge", "1 for the state that the uplink is in.")
	for _, u := range list {
		for _, s := range states {
			m.sample(truth(u.State == s), "uplink", u.Uplink, "version", version(u), "state", string(s))
		}
	}
	each("uplink_state_since_seconds", "gauge", "When the uplink's state began, as UNIX time.",
		func(u status) (float64, bool) { return unixTime(u.Since.UnixMilli()), true })
	each("uplink_rtt_seconds", "gauge", "Mean round-trip time of the last rounds of probes; absent when none was answered.",
		func(u status) (float64, bool) { return u.RTT.Seconds(), u.RTT > 0 })
	each("uplink_jitter_seconds", "gauge", "Mean difference of consecutive round trips of the last rounds; absent when none was answered.",
		func(u status) (float64, bool) { return u.Jitter.Seconds(), u.RTT > 0 })
	each("uplink_loss_ratio", "gauge", "Share of probes lost in the last rounds, 0 to 1.",
		func(u status) (float64, bool) { return u.Loss, true })
	each("uplink_rounds_total", "counter", "Rounds of probes that ended.",
		func(u status) (float64, bool) { return float64(u.Rounds), true })
	each("uplink_flaps", "gauge", "How often the uplink went down recently.",
		func(u status) (float64, bool) { return float64(u.Flaps), true })
}

func (m *metrics) family(name, kind, help string) { m.describe("pbr_"+name, kind, help) }

func (m *metrics) one(name, kind, help string, value float64) {
	m.family(name, kind, help)
	m.sample(value)
}

func version(s healthcheck.Status) string { return strconv.Itoa(int(s.Version)) }

func unixTime(milliseconds int64) float64 { return float64(milliseconds) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
