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

// lateAnswer has the tuples of a deleted connection: as its answer would arrive, and as it is sent
// from inside.
type lateAnswer struct{ arrives, inside conntrack.Tuple }

// lateAnswers are the answers to deleted connections, each with the time from which it counts as a
// connection of its own.
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

// among returns the connections that were started by one of the answers and that packets from
// inside now belong to. If that tuple is taken, the kernel gives the answer another port, and it
// does no harm.
func (l lateAnswers) among(flows []conntrack.Flow) (begun []flushed) {
	for i := range flows {
		f := &flows[i]
		if a := (lateAnswer{f.Orig, f.Reply}); !l[a].IsZero() {
			begun = append(begun, flushed{f, a})
		}
	}
	return begun
}

// forget drops the answers whose time is over.
func (l lateAnswers) forget(now time.Time) {
	maps.DeleteFunc(l, func(_ lateAnswer, until time.Time) bool { return until.Before(now) })
}
