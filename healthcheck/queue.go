package healthcheck

import (
	"context"
	"sync"
)

// queue hands events on in order. It takes any number at once, so that a slow reader never delays a
// probe.
type queue struct {
	out   chan Event
	ready chan struct{} // holds a token while there may be something to hand on

	mu      sync.Mutex
	waiting []Event
}

func newQueue() *queue {
	return &queue{out: make(chan Event), ready: make(chan struct{}, 1)}
}

func (q *queue) add(e Event) {
	q.mu.Lock()
	q.waiting = append(q.waiting, e)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) take() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.waiting
	q.waiting = nil
	return events
}

// run hands events on until ctx ends, then closes the channel.
func (q *queue) run(ctx context.Context) {
	defer close(q.out)
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.ready:
		}
		for _, e := range q.take() {
			select {
			case <-ctx.Done():
				return
			case q.out <- e:
			}
		}
	}
}
