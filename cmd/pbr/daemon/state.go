package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"pbr/compiler"
	"pbr/healthcheck"
)

// savedState is what one run leaves for the next, so that a restart disturbs nothing: an uplink that was down stays down until it
// is proven up, and what was to be cut is.
type savedState struct {
	Uplinks map[string]healthcheck.Status `json:"uplinks"`
	Down    compiler.Health               `json:"down,omitempty"`
	Owed    map[string]*debt              `json:"owed,omitempty"`
	Addrs   map[string][]netip.Addr       `json:"addresses,omitempty"`
	// Noted is when this was written, as the time since the machine started: nobody sets that clock.
	Noted time.Duration `json:"noted"`
}

// readState reads a state file; a missing one is an empty state.
func readState(file string) (s savedState, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return savedState{}, fmt.Errorf("the uplinks' health of the last run is lost: %s: %w", file, err)
	}
	return s, nil
}

// loadHealth reads the last run's state. A missing or damaged file costs what is in it, no more.
func (w *Watcher) loadHealth() *health {
	h := newHealth()
	s, err := readState(w.StateFile)
	if err != nil {
		w.Log.Warn(err.Error())
		return h
	}
	for name, status := range s.Uplinks {
		if u := uplinkNamed(w.doc, name); u != nil {
			h.statuses[name] = status
		}
	}
	for name, order := range s.Down {
		if status, known := h.statuses[name]; known && !status.State.Usable() && order > 0 {
			h.down[name] = order
		}
	}
	for name, d := range s.Owed {
		if _, down := h.down[name]; down && d != nil {
			h.owed[name] = d
		}
	}
	for name, addrs := range s.Addrs {
		h.addrs[name] = addrs
	}
	return h
}

// save keeps the state for the next run. It is for a restart, not for a crash of the machine, after which nothing of it is true.
func (w *Watcher) save() {
	w.shared.setDown(w.health.down)
	if err := w.write(w.Uptime()); err != nil {
		w.Log.Warn("keeping the uplinks' health for the next run", "error", err)
	}
}

// write writes the state file, as noted at a time since the machine started.
func (w *Watcher) write(noted time.Duration) error {
	s := savedState{Uplinks: w.health.statuses, Down: w.health.down, Owed: w.stillOwed(), Addrs: w.health.addrs, Noted: noted}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.StateFile+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(w.StateFile+".new", w.StateFile)
}
