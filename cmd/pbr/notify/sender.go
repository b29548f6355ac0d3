// Package notify posts events to a web server, in their order, and keeps them while there is no way
// to it.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"pbr/compiler/message"
	"pbr/compiler/policy"
)

const (
	// maxKept is how many messages may wait; the oldest goes when another comes.
	maxKept = 100
	// maxTries is how often a message is sent to a server that does not accept it.
	maxTries = 6
	// connectLimit bounds looking up and connecting.
	connectLimit = 2500 * time.Millisecond
	// wayPause is between two tries while nothing leads to the server. With connectLimit it bounds
	// how long a way is not made use of.
	wayPause = time.Second
	// maxPause bounds the pauses for other reasons, which double from wayPause on.
	maxPause = 30 * time.Second
	// maxAsked bounds the pause that a server asks for.
	maxAsked = time.Minute
)

// post sends a text to a server. A nil error says that it was accepted. Tests have their own.
type post func(ctx context.Context, to *policy.Notify, body []byte) error

// Sender sends messages one at a time.
type Sender struct {
	log  *slog.Logger
	post post

	mu       sync.Mutex
	to       policy.Notify // Pos.Line 0: nobody
	template *message.Template
	queue    []*message.Message
	dropped  int
	// wake ends a pause for lack of a way; it has room for one.
	wake chan struct{}
	// idle is closed while nothing waits.
	idle chan struct{}
	// cancel ends the try that is under way.
	cancel context.CancelFunc
	// failing is the reason that was logged last; empty while messages arrive.
	failing string
}

// New makes a Sender that sends nothing yet.
func New(log *slog.Logger) *Sender { return newSender(log, postHTTP) }

func newSender(log *slog.Logger, p post) *Sender {
	s := &Sender{log: log, post: p, wake: make(chan struct{}, 1), idle: make(chan struct{})}
	close(s.idle)
	return s
}

// SetTarget says where messages go from now on, also those that wait. Without a target they are
// dropped.
func (s *Sender) SetTarget(to policy.Notify, tables []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to, s.template = to, nil
	if to.Template != "" {
		var err error
		if s.template, err = message.NewTemplate(to.Template, tables); err != nil { // the policy was checked: never
			s.log.Error("notify: the template is not used: events are posted as JSON", "error", err)
			s.template = nil
		}
	}
	if to.Pos.Line == 0 {
		s.setQueue(nil)
	}
	s.wakeUp()
}

// Add has a message sent. It does not wait for anything.
func (s *Sender) Add(m message.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to.Pos.Line == 0 {
		return
	}
	s.setQueue(append(s.queue, &m))
	if lost := m.Event == "down" || m.Event == "degraded"; lost && s.cancel != nil {
		s.cancel() // the try may have been on its way over that uplink
	}
	s.wakeUp()
}

// Unsent returns what has not been sent, the oldest first.
func (s *Sender) Unsent() (out []message.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.queue {
		out = append(out, *m)
	}
	return out
}

// Wait waits until all is sent, or ctx ends.
func (s *Sender) Wait(ctx context.Context) {
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// setQueue changes what waits. The lock is held.
func (s *Sender) setQueue(queue []*message.Message) {
	if n := len(queue) - maxKept; n > 0 {
		if s.dropped == 0 {
			s.log.Warn("notify: too many events wait to be posted, the oldest are dropped", "kept", maxKept)
		}
		s.dropped += n
		queue = queue[n:]
	}
	switch was, is := len(s.queue) > 0, len(queue) > 0; {
	case was && !is:
		close(s.idle)
	case !was && is:
		s.idle = make(chan struct{})
	}
	s.queue = queue
}

func (s *Sender) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	var t tries
	for ctx.Err() == nil {
		m, err := s.try(ctx)
		switch {
		case m == nil:
			s.sleep(ctx, -1, true)
		case err == nil:
			s.arrived(m)
			t = tries{}
		case ctx.Err() != nil:
		default:
			s.failed(m, err, t.next(m, err))
			s.sleep(ctx, t.pause, t.wakes)
		}
	}
}

// try sends the oldest message, and returns it; nil is none.
func (s *Sender) try(ctx context.Context) (*message.Message, error) {
	s.mu.Lock()
	if len(s.queue) == 0 {
		s.mu.Unlock()
		return nil, nil
	}
	m, to, template := s.queue[0], s.to, s.template
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.cancel = cancel
	s.mu.Unlock()
	body, err := template.Render(m)
	if err != nil {
		return m, &renderError{err}
	}
	err = s.post(ctx, &to, body)
	if ctx.Err() != nil && err != nil {
		err = errLost
	}
	return m, err
}

// arrived takes a message off the queue.
func (s *Sender) arrived(m *message.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = nil
	s.remove(m)
	if s.failing != "" {
		s.log.Info("notify: events are posted again", "waiting", len(s.queue), "dropped", s.dropped)
	}
	s.failing, s.dropped = "", 0
}

// remove takes a message off the queue, unless it was dropped. The lock is held.
func (s *Sender) remove(m *message.Message) {
	if len(s.queue) > 0 && s.queue[0] == m {
		s.setQueue(s.queue[1:])
	}
}

// failed says why a message was not sent, once for each reason, and drops it when that is final.
func (s *Sender) failed(m *message.Message, err error, final bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = nil
	if final {
		s.remove(m)
		s.log.Warn("notify: an event is not posted", "uplink", m.Uplink, "to", m.To, "error", err)
		return
	}
	if text := err.Error(); text != s.failing && !errors.Is(err, errLost) {
		if s.failing == "" {
			s.log.Warn("notify: events cannot be posted, they are kept", "server", server(&s.to), "waiting", len(s.queue), "error", err)
		}
		s.failing = text
	}
}

// sleep waits, for ever if pause is negative; wakes means that a new message ends it.
func (s *Sender) sleep(ctx context.Context, pause time.Duration, wakes bool) {
	var due <-chan time.Time
	if pause >= 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		due = t.C
	}
	wake := s.wake
	if !wakes {
		wake = nil
	}
	select {
	case <-due:
	case <-wake:
	case <-ctx.Done():
	}
}
