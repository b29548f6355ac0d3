package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// savedState is what one run leaves for the next, so that a restart disturbs nothing: an uplink
// that was down stays down until its check succeeds, and pending flushes are done.
type savedState struct {
	Lines   []healthcheck.Status                     `json:"lines"`
	Down    compiler.Health                          `json:"down,omitempty"`
	Pending map[compiler.UplinkVersion]*pendingFlush `json:"owing,omitempty"`
	Addrs   map[string][]netip.Addr                  `json:"addresses,omitempty"`
	// Uplinks are what an earlier release wrote: one status for both versions.
	Uplinks map[string]healthcheck.Status `json:"uplinks,omitempty"`
	// Noted is when this was written, as the time since boot: nobody can set that clock.
	Noted time.Duration `json:"noted"`
	// Events are the last ones.
	Events []PastEvent `json:"events,omitempty"`
}

// readState reads a state file, and returns its text, too; a missing one is an empty state.
func readState(file string) (s savedState, text string, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, "", nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return savedState{}, "", fmt.Errorf("the last run's health of the uplinks is lost: %s: %w", file, err)
	}
	s.split()
	s.spreadOrders()
	return s, string(b), nil
}

// split gives both versions the state that an earlier release saved for an uplink.
func (s *savedState) split() {
	for name, status := range s.Uplinks {
		for _, family := range plan.Families {
			status.UplinkVersion = healthcheck.UplinkVersion{Uplink: name, Version: healthcheck.Version(family)}
			s.Lines = append(s.Lines, status)
		}
	}
	s.Uplinks = nil
	for uv, order := range s.Down {
		if uv.Family == 0 {
			delete(s.Down, uv)
			for _, family := range plan.Families {
				s.Down[compiler.UplinkVersion{Uplink: uv.Uplink, Family: family}] = order
			}
		}
	}
}

// status is that of one uplink and version.
func (s *savedState) status(uv healthcheck.UplinkVersion) (healthcheck.Status, bool) {
	at := slices.IndexFunc(s.Lines, func(s healthcheck.Status) bool { return s.UplinkVersion == uv })
	if at < 0 {
		return healthcheck.Status{}, false
	}
	return s.Lines[at], true
}

// loadHealth reads the last run's state. If the file is missing or damaged, only its content is
// lost.
func (w *Watcher) loadHealth() *health {
	h := newHealth()
	s, _, err := readState(w.StateFile)
	if err != nil {
		w.Log.Warn(err.Error())
		return h
	}
	w.past.set(s.Events)
	for _, uv := range UplinkVersions(w.doc) {
		if status, known := s.status(uv); known {
			h.statuses[keyOf(uv)] = status
		}
	}
	for uv, order := range s.Down {
		status, known := h.statuses[uv]
		if _, known := h.statuses[compiler.UplinkVersion{Uplink: uv.Uplink, Family: uv.Family}]; known && uv.Table != "" {
			h.down[uv] = order
		}
		doubtful := status.State == healthcheck.Unconfirmed
		unused := !status.State.Usable() && (order > 0 || order == compiler.Spent)
		if known && (doubtful || unused) {
			h.down[uv] = order
		}
	}
	for uv, d := range s.Pending {
		if _, down := h.down[uv]; down && d != nil {
			h.pending[uv] = d
		}
	}
	for name, addrs := range s.Addrs {
		h.addrs[name] = addrs
	}
	h.takeOrders()
	return h
}

// save saves the state for the next run. It does not have to survive a crash of the machine,
// because nothing of it is true then.
func (w *Watcher) save() {
	w.shared.setDown(w.health.down)
	if err := w.write(w.Uptime()); err != nil {
		w.Log.Warn("saving the uplinks' health for the next run", "error", err)
	}
}

// write writes the state file with a time since boot.
func (w *Watcher) write(noted time.Duration) error {
	s := savedState{Lines: slices.Collect(maps.Values(w.health.statuses)), Down: w.health.down, Pending: w.unfinished(),
		Addrs: w.health.addrs, Noted: noted, Events: w.past.all()}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	next := w.StateFile + ".new"
	if err = os.WriteFile(next, b, 0o600); err == nil {
		err = os.Rename(next, w.StateFile)
	}
	if err != nil {
		_ = os.Remove(next) // what does not fit takes no space from the rest
	}
	return err
}
