package main

import (
	"context"
	"errors"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/healthcheck/watch"
	"pbr/kernel"
)

// statusPause is between two looks of status --watch.
const statusPause = time.Second

// unchecked is the state of an uplink whose link is good and that no watch checks.
const unchecked = "unchecked"

func (c command) statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show uplinks with their health, tables with their active routes, and who uses them",
		ArgsUsage: " ",
		Description: "Health is pbr watch's; without it the state tells what the link alone shows. Routes and connections are read\n" +
			"from the kernel. Exit status 3 when an uplink is not in use because it is down, degraded or was taken out.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show it again every second"},
			jsonFlag(),
		},
		Action: c.runStatus,
	}
}

// statusResult is status' JSON.
type statusResult struct {
	// Watch is nil when pbr watch is not running.
	Watch   *watchStatus   `json:"watch"`
	Uplinks []uplinkStatus `json:"uplinks"`
	Tables  []tableStatus  `json:"tables"`
	// Unmarked are the connections that no policy caught and that use default's first uplink, and those that pbr
	// has nothing to do with.
	Unmarked usage `json:"unmarked"`
}

type watchStatus struct {
	PID          int           `json:"pid"`
	Since        time.Time     `json:"since"`
	Policy       string        `json:"policy"`
	PolicyLoaded time.Time     `json:"policy_loaded"`
	Numbers      watch.Numbers `json:"numbers"`
}

// uplinkStatus is an uplink's health, as far as it is known, and use.
type uplinkStatus struct {
	Name      string `json:"name"`
	Interface string `json:"interface"`
	State     string `json:"state"`
	// Usable tells whether new connections may take the uplink.
	Usable        bool       `json:"usable"`
	Since         *time.Time `json:"since,omitempty"`
	RTT           float64    `json:"rtt_ms"`
	Loss          float64    `json:"loss"`
	Rounds        int        `json:"rounds"`
	LastFailure   string     `json:"last_failure,omitempty"`
	LastFailureAt *time.Time `json:"last_failure_at,omitempty"`
	ProbeError    string     `json:"probe_error,omitempty"`
	Flaps         int        `json:"flaps"`
	HeldUntil     *time.Time `json:"held_until,omitempty"`
	usage
}

// usage counts connections; Bytes is nil where the kernel does not count them (net.netfilter.nf_conntrack_acct).
type usage struct {
	Connections int     `json:"connections"`
	Bytes       *uint64 `json:"bytes"`
}

// tableStatus is a table of the policy with the best of its routes to each destination.
type tableStatus struct {
	Name   string        `json:"name"`
	Table  uint32        `json:"table"`
	Active []activeRoute `json:"active"`
}

// activeRoute is a route that the kernel takes; a table without one for a family falls through.
type activeRoute struct {
	Family      plan.Family `json:"family"`
	Destination string      `json:"destination"`
	// Uplinks are more than one when they share connections, and none when the destination is unreachable.
	Uplinks []string `json:"uplinks"`
	Via     []string `json:"via"`
	Metric  uint32   `json:"metric"`
}

func (c command) runStatus(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	f, err := load(ctx)
	if err != nil {
		return err
	}
	if f.diagnostics.HasErrors() {
		return c.report(f, f.diagnostics)
	}
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	for {
		s, err := readStatus(f.doc, k)
		if err != nil {
			return err
		}
		if err := c.printStatus(ctx, s); err != nil {
			return err
		}
		if !ctx.Bool("watch") {
			return statusExit(s)
		}
		select {
		case <-time.After(statusPause):
		case <-stop.Done():
			return nil
		}
	}
}

// statusExit is exit status 3 when an uplink is not to be used.
func statusExit(s *statusResult) error {
	if slices.ContainsFunc(s.Uplinks, func(u uplinkStatus) bool { return !u.Usable }) {
		return exitCode(exitDown)
	}
	return nil
}

func readStatus(doc *policy.Document, k *kernel.Kernel) (*statusResult, error) {
	report, err := runningWatch(k)
	if err != nil {
		return nil, err
	}
	machine, err := k.Machine()
	if err != nil {
		return nil, err
	}
	want, problems := compiler.Compile(doc, machine, report.Down)
	if want == nil {
		return nil, errors.New(problems[0].Message)
	}
	live, err := k.Live(want)
	if err != nil {
		return nil, err
	}
	used, err := k.Connections(want.Mask)
	if err != nil {
		return nil, err
	}
	s := &statusResult{Uplinks: []uplinkStatus{}, Tables: activeRoutes(doc, want.Numbers, live), Unmarked: sum(used, 0)}
	if report.PID != 0 {
		s.Watch = &watchStatus{report.PID, report.Since, report.Policy, report.Loaded, report.Numbers}
	}
	links := watch.Links(doc, machine)
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		status := linkStatus(links[u.Name])
		if at := slices.IndexFunc(report.Uplinks, func(s healthcheck.Status) bool { return s.Uplink == u.Name }); at >= 0 {
			status = checkedStatus(report.Uplinks[at])
		}
		status.Name, status.Interface = u.Name, u.Interface
		mark, strict := watch.Marks(want, u.Name)
		marks := []uint32{mark}
		if strict != 0 { // 0 would be the unmarked ones
			marks = append(marks, strict)
		}
		status.usage = sum(used, marks...)
		s.Uplinks = append(s.Uplinks, status)
	}
	return s, nil
}

// runningWatch asks the watch of this network namespace; without one, or the right to ask, the report is empty.
func runningWatch(k *kernel.Kernel) (watch.Report, error) {
	a, err := watch.Ask(k.Dir(), watch.Request{Do: "status"})
	switch {
	case errors.Is(err, watch.ErrNotRunning):
		return watch.Report{}, nil
	case err != nil:
		return watch.Report{}, err
	case a.Report == nil:
		return watch.Report{}, errors.New("asking pbr watch: it gave no report")
	}
	return *a.Report, nil
}

// linkStatus is what a link alone tells of an uplink.
func linkStatus(l healthcheck.LinkState) uplinkStatus {
	switch {
	case !l.Exists || !l.Up || !l.Carrier:
		return uplinkStatus{State: string(healthcheck.LinkDown)}
	case !l.Addressed:
		return uplinkStatus{State: string(healthcheck.AddressLost)}
	}
	return uplinkStatus{State: unchecked, Usable: true}
}

func checkedStatus(s healthcheck.Status) uplinkStatus {
	return uplinkStatus{
		State: string(s.State), Usable: s.State.Usable(), Since: known(s.Since),
		RTT: float64(s.RTT) / float64(time.Millisecond), Loss: s.Loss, Rounds: s.Rounds,
		LastFailure: s.LastFailure, LastFailureAt: known(s.LastFailureAt), ProbeError: s.ProbeError,
		Flaps: s.Flaps, HeldUntil: known(s.HeldUntil),
	}
}

// known is nil for a time that is not set.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// sum adds up the connections of several marks.
func sum(used map[uint32]kernel.Usage, marks ...uint32) usage {
	var u usage
	var bytes uint64
	for _, m := range marks {
		u.Connections += used[m].Connections
		bytes += used[m].Bytes
		if used[m].HasBytes {
			u.Bytes = &bytes
		}
	}
	return u
}

// activeRoutes lists the policy's tables, default last, with the route of the lowest metric to each destination.
func activeRoutes(doc *policy.Document, numbers []plan.Number, live *plan.Plan) []tableStatus {
	uplinks := map[string]string{}
	for _, u := range doc.Uplinks {
		uplinks[u.Interface] = u.Name
	}
	tables := slices.Clone(doc.Tables)
	if doc.Default != nil {
		tables = append(tables, *doc.Default)
	}
	list := make([]tableStatus, 0, len(tables))
	for _, t := range tables {
		s := tableStatus{Name: t.Name, Active: []activeRoute{}}
		for _, n := range numbers {
			if n.Name == t.Name {
				s.Table = n.Table
			}
		}
		for _, r := range live.Routes { // sorted: the lowest metric to a destination comes first
			if r.Table != s.Table {
				continue
			}
			a := active(r, uplinks)
			if last := len(s.Active) - 1; last < 0 || s.Active[last].Family != a.Family || s.Active[last].Destination != a.Destination {
				s.Active = append(s.Active, a)
			}
		}
		list = append(list, s)
	}
	return list
}

// active describes a route.
func active(r plan.Route, uplinks map[string]string) activeRoute {
	a := activeRoute{Family: r.Family, Destination: r.Dst.String(), Metric: r.Metric, Uplinks: []string{}, Via: []string{}}
	if r.Dst.Bits() == 0 {
		a.Destination = "default"
	}
	for _, h := range r.Hops {
		name, ours := uplinks[h.Dev]
		if !ours {
			name = h.Dev
		}
		a.Uplinks = append(a.Uplinks, name)
		via := h.Dev
		if h.Via.IsValid() {
			via = h.Via.String()
		}
		a.Via = append(a.Via, via)
	}
	return a
}
