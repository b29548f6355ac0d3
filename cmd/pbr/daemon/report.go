package daemon

import (
	"maps"
	"os"
	"sync"
	"time"

	"pbr/compiler"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// Report is what a running watch reports.
type Report struct {
	PID int `json:"pid"`
	// Since is when it started, Loaded when the policy in force was read.
	Since  time.Time `json:"since"`
	Policy string    `json:"policy"`
	Loaded time.Time `json:"loaded"`
	// Retry is a file that waits to be tried again, nil if none does.
	Retry *Retry `json:"retry,omitempty"`
	// Uplinks are in the policy's order, IPv4 before IPv6.
	Uplinks []healthcheck.Status `json:"uplinks"`
	// Down has the uplinks that are not used for new connections, in the order in which they went
	// down, 1 first.
	Down compiler.Health `json:"down"`
	// Kept has the tables that have no usable uplink left, with the uplinks whose routes they keep.
	Kept map[string][]string `json:"kept,omitempty"`
	// Together says that checks fail together, and which uplinks are kept; empty while they do not.
	Together string `json:"together,omitempty"`
	// Quotas are those of uplinks, by name.
	Quotas  map[string]*QuotaStatus `json:"quotas,omitempty"`
	Numbers Numbers                 `json:"numbers"`
	// Answers are those that lists of domains are filled from, nil while none are read.
	Answers *DNSAnswers `json:"answers,omitempty"`
	Outline Outline     `json:"outline"`
	// EchoIDs are the identifiers of the checks' pings, by uplink.
	EchoIDs map[string]uint16 `json:"echo_ids,omitempty"`
	// Use is for metrics alone.
	Use *Use `json:"-"`
}

// Numbers count what a watch did since its start.
type Numbers struct {
	// Updates counts changes of routes for the uplinks' health. UpdateTime is how long the last one
	// took, from the monitor's event to the kernel's routes; 0 before the first.
	Updates    int           `json:"updates"`
	UpdateTime time.Duration `json:"last_update_ns,omitempty"`
	Flushed    int           `json:"connections_cut"`
	// Passes counts full comparisons of kernel and plan, Repairs those that found others' changes.
	Passes  int `json:"passes"`
	Repairs int `json:"repairs"`
	// Failures are attempts to change the kernel that failed.
	Failures       int `json:"failures"`
	Reloads        int `json:"reloads"`
	ReloadFailures int `json:"reload_failures"`
	// Events counts changes of uplinks' states by uplink and new state; KernelEvents counts the
	// kernel's.
	Events       map[healthcheck.UplinkVersion]map[healthcheck.State]int `json:"-"`
	KernelEvents map[KernelEventKind]int                                 `json:"-"`
}

// shared is the part of the loop's state that other goroutines read.
type shared struct {
	mu     sync.Mutex
	report Report
}

func (s *shared) init(doc *policy.Document) {
	now := time.Now()
	s.report = Report{
		PID: os.Getpid(), Since: now, Policy: doc.File, Loaded: now,
		Numbers: Numbers{Events: map[healthcheck.UplinkVersion]map[healthcheck.State]int{}, KernelEvents: map[KernelEventKind]int{}},
	}
}

// update changes the report.
func (s *shared) update(f func(*Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.report)
}

func (s *shared) loaded(doc *policy.Document) {
	s.update(func(r *Report) { r.Policy, r.Loaded = doc.File, time.Now() })
}

func (s *shared) setOutline(o Outline) { s.update(func(r *Report) { r.Outline = o }) }

func (s *shared) outline() (o Outline) {
	s.update(func(r *Report) { o = r.Outline })
	return o
}

func (s *shared) setDown(down compiler.Health) {
	down = maps.Clone(down)
	s.update(func(r *Report) { r.Down = down })
}

func (s *shared) countFlushed(n int) { s.update(func(r *Report) { r.Numbers.Flushed += n }) }

func (s *shared) countUpdate(took time.Duration) {
	s.update(func(r *Report) {
		r.Numbers.Updates++
		r.Numbers.UpdateTime = took
	})
}

func (s *shared) countPass(changed, drift bool) {
	s.update(func(r *Report) {
		r.Numbers.Passes++
		if changed && drift {
			r.Numbers.Repairs++
		}
	})
}

func (s *shared) countFailure() { s.update(func(r *Report) { r.Numbers.Failures++ }) }

func (s *shared) countReload(good bool) {
	s.update(func(r *Report) {
		if r.Numbers.Reloads++; !good {
			r.Numbers.ReloadFailures++
		}
	})
}

func (s *shared) countEvent(e HookEvent) {
	versions := []healthcheck.UplinkVersion{e.UplinkVersion}
	if e.Both {
		versions = []healthcheck.UplinkVersion{{Uplink: e.Uplink, Version: 4}, {Uplink: e.Uplink, Version: 6}}
	}
	s.update(func(r *Report) {
		for _, uv := range versions {
			if r.Numbers.Events[uv] == nil {
				r.Numbers.Events[uv] = map[healthcheck.State]int{}
			}
			r.Numbers.Events[uv][e.To]++
		}
	})
}

func (s *shared) countKernelEvent(kind KernelEventKind) {
	s.update(func(r *Report) { r.Numbers.KernelEvents[kind]++ })
}

// Statuses returns the present states of the uplinks, as the report has them; any goroutine may
// call it.
func (w *Watcher) Statuses() []healthcheck.Status { return w.Monitor.Statuses() }

// Uplinks returns the uplinks of the outline, none while the watch begins; any goroutine may call
// it.
func (w *Watcher) Uplinks() []OutlineUplink { return w.shared.outline().Uplinks }

// Report returns the present report; any goroutine may call it.
func (w *Watcher) Report() Report {
	w.shared.mu.Lock()
	r := w.shared.report
	r.Down = maps.Clone(r.Down)
	events := map[healthcheck.UplinkVersion]map[healthcheck.State]int{}
	for uplink, states := range r.Numbers.Events {
		events[uplink] = maps.Clone(states)
	}
	r.Numbers.Events, r.Numbers.KernelEvents = events, maps.Clone(r.Numbers.KernelEvents)
	w.shared.mu.Unlock()
	r.Uplinks, r.Answers = w.Monitor.Statuses(), w.Names.Answers()
	if w.EchoIDs != nil {
		r.EchoIDs = w.EchoIDs()
	}
	return r
}
