package kernel

import (
	"maps"
	"time"

	"pbr/kernel/conntrack"
)

// flushed is a connection that is to be deleted, or that the kernel has ended, with the answers to
// it that may still arrive.
type flushed struct {
	*conntrack.Flow
	answers []lateAnswer
}

// lateAnswer has the tuples of a deleted connection: as its answer would arrive, and as it is sent
// from inside.
type lateAnswer struct{ arrives, inside conntrack.Tuple }

// answersTo returns the answers to a connection from inside. While there was no table its packets
// were not translated, so neither are the answers to those.
func answersTo(f *conntrack.Flow) []lateAnswer {
	answers := []lateAnswer{{f.Reply, f.Orig}}
	if plain := f.Orig.Reversed(); plain != f.Reply {
		answers = append(answers, lateAnswer{plain, f.Orig})
	}
	return answers
}

// lateAnswers are the answers to deleted connections, each with the time from which it counts as a
// connection of its own.
type lateAnswers map[lateAnswer]time.Time

// lateTime is how long a late answer is still recognised as an answer.
const lateTime = 2 * time.Minute

// with returns l with the answers to more connections.
func (l lateAnswers) with(flows []flushed, until time.Time) lateAnswers {
	out := maps.Clone(l)
	if out == nil {
		out = lateAnswers{}
	}
	for i := range flows {
		for _, a := range flows[i].answers {
			out[a] = until
		}
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
			begun = append(begun, flushed{f, []lateAnswer{a}})
		}
	}
	return begun
}

// forget drops the answers whose time is over.
func (l lateAnswers) forget(now time.Time) {
	maps.DeleteFunc(l, func(_ lateAnswer, until time.Time) bool { return until.Before(now) })
}

// firstSweep is the time from one look for late answers to the next, at first and after one that
// found some.
const firstSweep = 500 * time.Millisecond

// nextSweep returns how long to wait before the next look for connections that late answers began:
// as long as the newest deletion is ago, because each answer is less likely than the one before. It
// returns 0 if no answer is expected.
func (l lateAnswers) nextSweep(now time.Time) time.Duration {
	var newest time.Time
	for _, until := range l {
		if until.After(newest) {
			newest = until
		}
	}
	if !newest.After(now) {
		return 0
	}
	return max(firstSweep, lateTime-newest.Sub(now))
}

// ended returns the connections from inside among before that are no longer there, although they
// had not expired, and have no successor. before was listed as long ago as age says. Connections
// that pbr itself deleted are known, and not among them.
func (l lateAnswers) ended(before, now []conntrack.Flow, age time.Duration, inside func(*conntrack.Flow) bool) (gone []flushed) {
	there := make(map[conntrack.Tuple]bool, len(now))
	for i := range now {
		there[now[i].Orig] = true
	}
	for i := range before {
		f := &before[i]
		if there[f.Orig] || f.Expires <= age || !inside(f) {
			continue
		}
		if answers := answersTo(f); l[answers[0]].IsZero() {
			gone = append(gone, flushed{f, answers})
		}
	}
	return gone
}
