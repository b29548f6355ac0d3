package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/kernel"
)

// healthFile, in the state directory, is what one watch leaves for the next, and for the commands
// that work without one.
const healthFile = "health.json"

func healthPath(k *kernel.Kernel) string { return filepath.Join(k.Dir(), healthFile) }

// situation has the present host facts and the uplinks' health.
type situation struct {
	host plan.HostFacts
	// watch is the report of the watch that runs; nil when none does.
	watch *daemon.Report
	// lastHealth is the last known health while no watch runs.
	lastHealth daemon.LastHealth
	unread     bool
}

// down has the uplinks that are not to be used.
func (s *situation) down() compiler.Health {
	if s.watch != nil {
		return s.watch.Down
	}
	return s.lastHealth.Down
}

// readSituation asks the running watch for the uplinks' health, or reads the last known health.
func (c command) readSituation(doc *policy.Document, k *kernel.Kernel) (*situation, error) {
	host, err := k.HostFacts(compiler.Needs(doc))
	if err != nil {
		return nil, err
	}
	return c.situationOf(doc, k, host)
}

// situationOf is readSituation with host facts that were just read.
func (c command) situationOf(doc *policy.Document, k *kernel.Kernel, host plan.HostFacts) (*situation, error) {
	report, err := runningWatch(k)
	if err != nil || report != nil {
		return &situation{host: host, watch: report}, err
	}
	last, err := daemon.ReadLastHealth(healthPath(k), doc, host, kernel.Uptime())
	if err != nil {
		fmt.Fprintf(c.stderr, "pbr: warning: %v\n", err) // what it said can be said again, and must not be in the way
	}
	return &situation{host: host, lastHealth: last, unread: err != nil}, nil
}

// reportLastHealth names the uplinks that are unused for a reason that policy and host facts do not
// show.
func (c command) reportLastHealth(last daemon.LastHealth) {
	said := map[string]bool{}
	for _, s := range last.Uplinks {
		text := lastHealthText(s, last.Age)
		if text != "" && !said[text] { // both versions have the same to say, as a rule
			fmt.Fprintf(c.stderr, "pbr: %s\n", text)
		}
		said[text] = true
	}
}

func lastHealthText(s healthcheck.Status, age time.Duration) string {
	switch {
	case s.State == healthcheck.ForcedDown:
		return fmt.Sprintf("uplink %s is not used: it was forced down %s ago: pbr uplink %s auto ends that",
			s.Uplink, span(time.Since(s.Since)), s.Uplink)
	case !s.State.Usable():
		why := ""
		if s.Why() != "" {
			why = " (" + s.Why() + ")"
		}
		return fmt.Sprintf("uplink %s is not used: pbr watch, which is not running any more, found it %s%s; "+
			"this last known health is used for another %s, unless pbr watch finds it up",
			s.Uplink, s.State, why, span((daemon.FoundHolds - age).Round(time.Second)))
	}
	return ""
}

// runningWatch asks the watch of this network namespace; nil without one.
func runningWatch(k *kernel.Kernel) (*daemon.Report, error) {
	a, err := daemon.Ask(k.Dir(), daemon.Request{Do: "status"})
	switch {
	case errors.Is(err, daemon.ErrNotRunning):
		return nil, nil
	case err != nil:
		return nil, err
	case a.Report == nil:
		return nil, errors.New("asking pbr watch: it gave no report")
	}
	return a.Report, nil
}

// forgetHealth removes the last known health and orders, and the socket of a killed watch, whose
// lock is free.
func forgetHealth(k *kernel.Kernel) error {
	var errs []error
	for _, name := range []string{healthFile, healthFile + ".new", daemon.SocketName} {
		if err := os.Remove(filepath.Join(k.Dir(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("deleting the uplinks' last known health: %w", err))
		}
	}
	return errors.Join(errs...)
}
