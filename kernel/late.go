package kernel

import (
	"maps"
	"time"

	"pbr/kernel/conntrack"
)

// flushed is a connection that is to be deleted.
type flushed struct {
	*conntrack.Flow
	lateAnswer
}

// lateAnswer is what would arrive as an answer to a connection that was deleted, and what is sent
// from inside.
type lateAnswer struct{ arrives, inside conntrack.Tuple }

// lateAnswers are the answers to connections that were flushed, each with the time from which it is
// taken for a connection of its own.
type lateAnswers map[lateAnswer]time.Time

// with returns l with the answers to more connections.
func (l lateAnswers) with(flows []flushed, until time.Time) lateAnswers {
	out := maps.Clone(l)
	if out == nil {
		out = lateAnswers{}
	}
	for i := range flows {
		out[flows[i].lateAnswer] = until
	}
	return out
}

// among returns the connections that were begun by one of the answers, and that what is sent from
// inside belongs to. Where the way is taken already the kernel gives the answer another port, which
// is of no harm.
func (l lateAnswers) among(flows []conntrack.Flow) (begun []flushed) {
	for i := range flows {
		f := &flows[i]
		if a := (lateAnswer{f.Orig, f.Reply}); !l[a].IsZero() {
			begun = append(begun, flushed{f, a})
		}
	}
	return begun
}

// forget drops those whose time is over.
func (l lateAnswers) forget(now time.Time) {
	maps.DeleteFunc(l, func(_ lateAnswer, until time.Time) bool { return until.Before(now) })
}
