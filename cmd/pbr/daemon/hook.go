package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"pbr/compiler/message"
	"pbr/healthcheck"
)

const (
	// hookLimit is how long one run of the hook may take before it is killed.
	hookLimit = 10 * time.Second
	// hookQueue is how many events of one uplink may wait; a further one replaces the oldest.
	hookQueue = 64
	// hookRuns is how many may run at a time, over all uplinks.
	hookRuns = 8
)

// HookEvent is an event for the hook.
type HookEvent struct {
	healthcheck.Event
	Interface string
	// Both means that the uplink's other version changed in the same way; Alone means that there is
	// no other.
	Both, Alone bool
	// Facts are the uplink's addresses, gateways and states after the event, and the uplinks that
	// tables use, in the form that the hook gets.
	Facts []string
	// Tables has the uplinks that each table uses after the event.
	Tables map[string][]string
}

// headline describes the event in a few words.
func (e HookEvent) headline() string {
	of := ""
	if !e.Both && !e.Alone {
		of = fmt.Sprintf(" IPv%d", e.Version)
	}
	return fmt.Sprintf("uplink %s%s: %s", e.Uplink, of, e.To)
}

// Message is the event for readers elsewhere; host is this router's name.
func (e HookEvent) Message(host string) message.Message {
	return message.Message{
		Text: e.headline() + ": " + e.Reason, Event: e.Kind(), Uplink: e.Uplink, Interface: e.Interface, Version: e.Versions(),
		From: string(e.From), To: string(e.To), Reason: e.Reason, Time: message.Time{Time: e.At}, Tables: e.Tables, Host: host,
	}
}

// Versions is "4", "6" or "both".
func (e HookEvent) Versions() string {
	if e.Both {
		return "both"
	}
	return strconv.Itoa(int(e.Version))
}

// Kinds of event, PBR_EVENT: how the uplink's use changed.
const (
	hookUp       = "up"       // it takes new connections
	hookDegraded = "degraded" // -- it takes none, and existing ones continue
	hookDown     = "down"     // -- it takes none, and existing ones were flushed
	hookChange   = "change"   // none of these changed, only the state
)

// Kind is the event's name for hooks.
func (e HookEvent) Kind() string {
	to := kindOf(e.To)
	if e.Dead() {
		to = hookDown
	}
	if kindOf(e.From) == to {
		return hookChange
	}
	return to
}

func kindOf(s healthcheck.State) string {
	switch {
	case s.Usable():
		return hookUp
	case s.Dead():
		return hookDown
	}
	return hookDegraded
}

// Environment returns the event's variables for the hook.
func (e HookEvent) Environment() []string {
	return append([]string{
		"PBR_EVENT=" + e.Kind(),
		"PBR_UPLINK=" + e.Uplink,
		"PBR_INTERFACE=" + e.Interface,
		"PBR_FROM=" + string(e.From),
		"PBR_TO=" + string(e.To),
		"PBR_REASON=" + e.Reason,
		"PBR_TIME=" + e.At.UTC().Format(time.RFC3339Nano),
		"PBR_VERSION=" + e.Versions(),
	}, e.Facts...)
}

// Hooks runs a command for each event: in order, one at a time for each uplink, and without
// delaying the caller.
type Hooks struct {
	// Run runs the command with additional environment variables until it ends; it kills it when
	// ctx ends.
	run func(ctx context.Context, command string, environment []string) error
	log *slog.Logger

	mu      sync.Mutex
	command string
	queues  map[string][]queued // an uplink has one while a goroutine serves it
	slots   chan struct{}
	done    sync.WaitGroup
}

// queued is an event with the command that was the hook when it happened.
type queued struct {
	event   HookEvent
	command string
}

// NewHooks makes Hooks without a command.
func NewHooks(log *slog.Logger, run func(ctx context.Context, command string, environment []string) error) *Hooks {
	return &Hooks{run: run, log: log, queues: map[string][]queued{}, slots: make(chan struct{}, hookRuns)}
}

// SetCommand sets the command from now on; with an empty one nothing is run.
func (h *Hooks) SetCommand(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.command = path
}

// Add runs the command for an event.
func (h *Hooks) Add(e HookEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.command == "" {
		return
	}
	queue, served := h.queues[e.Uplink]
	if len(queue) == hookQueue {
		h.log.Warn("too many events wait for the hook: the oldest is dropped", "uplink", e.Uplink, "to", string(queue[0].event.To))
		queue = queue[1:]
	}
	h.queues[e.Uplink] = append(queue, queued{e, h.command})
	if !served {
		h.done.Add(1)
		go h.serve(e.Uplink)
	}
}

// Wait waits until no event is running or waiting, or until ctx ends.
func (h *Hooks) Wait(ctx context.Context) {
	idle := make(chan struct{})
	go func() { h.done.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// serve runs an uplink's waiting events until there are none.
func (h *Hooks) serve(uplink string) {
	defer h.done.Done()
	for {
		h.mu.Lock()
		queue := h.queues[uplink]
		if len(queue) == 0 {
			delete(h.queues, uplink)
			h.mu.Unlock()
			return
		}
		next := queue[0]
		h.queues[uplink] = queue[1:]
		h.mu.Unlock()
		h.slots <- struct{}{}
		h.runOne(next)
		<-h.slots
	}
}

func (h *Hooks) runOne(q queued) {
	ctx, cancel := context.WithTimeout(context.Background(), hookLimit)
	defer cancel()
	err := h.run(ctx, q.command, q.event.Environment())
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errors.New("killed: it ran longer than " + hookLimit.String())
	}
	if err != nil {
		h.log.Warn("hook", "command", q.command, "uplink", q.event.Uplink, "to", string(q.event.To), "error", err)
	}
}
