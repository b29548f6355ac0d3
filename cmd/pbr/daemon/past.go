package daemon

import (
	"slices"
	"sync"
	"time"

	"pbr/healthcheck"
)

// pastEvents is how many events are kept.
const pastEvents = 200

// PastEvent is an event that happened, as pbr status --events shows it.
type PastEvent struct {
	Time   time.Time `json:"time"`
	Uplink string    `json:"uplink"`
	// Version is "4", "6" or "both".
	Version string            `json:"version"`
	From    healthcheck.State `json:"from"`
	To      healthcheck.State `json:"to"`
	Reason  string            `json:"reason"`
}

// past are the last events, the oldest first. The loop adds, any goroutine reads.
type past struct {
	mu   sync.Mutex
	list []PastEvent
}

func (p *past) add(e HookEvent) {
	p.set(append(p.all(), PastEvent{Time: e.At, Uplink: e.Uplink, Version: e.Versions(), From: e.From, To: e.To, Reason: e.Reason}))
}

func (p *past) set(list []PastEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = list[max(0, len(list)-pastEvents):]
}

func (p *past) all() []PastEvent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// since returns those after a time.
func (p *past) since(t time.Time) (list []PastEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.list {
		if e.Time.After(t) {
			list = append(list, e)
		}
	}
	return list
}

// Events returns the last events, the oldest first; any goroutine may ask.
func (w *Watcher) Events() []PastEvent { return w.past.all() }

// EventsSince returns those of the last events that happened after a time; any goroutine may ask.
func (w *Watcher) EventsSince(t time.Time) []PastEvent { return w.past.since(t) }

// PastEvents returns the events that the last watch left in its state file.
func PastEvents(file string) ([]PastEvent, error) {
	s, _, err := readState(file)
	return s.Events, err
}
