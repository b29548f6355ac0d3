package notify

import (
	"errors"
	"fmt"
	"time"

	"pbr/compiler/message"
)

// errLost says that an uplink failed while a message was under way.
var errLost = errors.New("an uplink failed on the way")

// wayError says that nothing leads to the server. A message is kept for as long as it takes.
type wayError struct{ error }

// serverError says that something answers where the server should be, but not as it should: it
// refuses connections, or has a wrong certificate.
type serverError struct{ error }

// answerError is a server's answer other than 2xx, or that there was none: the message may have
// arrived.
type answerError struct {
	error
	// after is the pause that the server asks for.
	after time.Duration
}

// renderError is a template's.
type renderError struct{ error }

func (e *renderError) Error() string { return fmt.Sprintf("the template: %v", e.error) }

// tries is the count of what was tried for a message.
type tries struct {
	of    *message.Message
	count int
	// server counts tries that ended at something that is not the server.
	server int
	// pause is how long to wait with the next one, and wakes whether news of an uplink ends that.
	pause time.Duration
	wakes bool
}

// next counts a failed try, and reports whether it was the last one of its message.
func (t *tries) next(m *message.Message, err error) (final bool) {
	if t.of != m {
		*t = tries{of: m}
	}
	t.pause, t.wakes = wayPause, true
	var answer *answerError
	var server *serverError
	var render *renderError
	switch {
	case errors.Is(err, errLost):
		t.pause = 0
	case errors.As(err, &render):
		t.pause = 0
		return true
	case errors.As(err, &server):
		t.server++
		t.pause = doubled(t.server)
	case errors.As(err, &answer):
		t.count++
		t.pause, t.wakes = min(max(doubled(t.count), answer.after), maxAsked), false
		if t.count == maxTries {
			t.pause = 0
			return true
		}
	}
	return false
}

// doubled is the pause after the nth try.
func doubled(n int) time.Duration { return min(wayPause<<min(n-1, 10), maxPause) }
