package healthcheck

import (
	"cmp"
	"slices"
	"time"

	"pbr/compiler/sorting"
)

// window remembers the answers of the last rounds.
type window struct {
	// rounds are the remembered rounds, a ring of at most size: the oldest is at next once it is
	// full.
	rounds [][]Answer
	next   int
	size   int
	// sums has the memory for targets: each look at the uplinks sums up all windows.
	sums []targetQuality
}

func newWindow(size int) window { return window{size: size} }

// add remembers a round and forgets the oldest one if there are too many.
func (w *window) add(round []Answer) {
	if len(w.rounds) < w.size {
		w.rounds = append(w.rounds, round)
		return
	}
	w.rounds[w.next] = round
	w.next = (w.next + 1) % w.size
}

// keep forgets all rounds but the last n.
func (w *window) keep(n int) {
	ordered := append(slices.Clone(w.rounds[w.next:]), w.rounds[:w.next]...)
	w.rounds, w.next = ordered[max(0, len(ordered)-n):], 0
}

// resize changes how many rounds are remembered.
func (w *window) resize(size int) {
	w.keep(size)
	w.size = size
}

// quality is what the rounds of a window say of an uplink.
type quality struct {
	// rounds is how many there are.
	rounds int
	// loss is the share of lost probes, 0 to 1. full is the same share if all rounds yet missing in
	// the window were to be good.
	loss, full float64
	rtt        time.Duration // mean of the answered ones, 0 if there are none
	// jitter is the mean absolute difference of consecutive ones, 0 if there are not two.
	jitter time.Duration
}

// targetQuality is one target's part of a window.
type targetQuality struct {
	target     string
	sent, lost int
	total      time.Duration
	// last is the last round trip, pairs and moved are how many differences there are, and their
	// sum.
	last, moved time.Duration
	pairs       int
}

// add takes one answer.
func (t *targetQuality) add(a Answer) {
	t.sent++
	if a.Err != nil {
		t.lost++
		return
	}
	if t.sent-t.lost > 1 {
		t.pairs++
		t.moved += (a.RTT - t.last).Abs()
	}
	t.total += a.RTT
	t.last = a.RTT
}

func (t targetQuality) jitter() time.Duration { return t.moved / time.Duration(max(t.pairs, 1)) }

func (t targetQuality) loss() float64 { return float64(t.lost) / float64(t.sent) }

func (t targetQuality) rtt() time.Duration {
	if t.sent == t.lost {
		return 0
	}
	return t.total / time.Duration(t.sent-t.lost)
}

// quality sums the window up. The targets are ranked, and the last one among the best `quorum`
// decides.
func (w *window) quality(quorum int) quality {
	q := quality{rounds: len(w.rounds)}
	targets := w.targets()
	if len(targets) == 0 {
		return q
	}
	at := min(max(quorum, 1), len(targets)) - 1
	sorting.Func(targets, func(a, b targetQuality) int { return cmp.Compare(a.loss(), b.loss()) })
	t := targets[at]
	q.loss = t.loss()
	q.full = float64(t.lost) / float64(max(t.sent, w.size))
	// A target that answers nothing has no round trip: it comes last.
	sorting.Func(targets, func(a, b targetQuality) int {
		if (a.rtt() == 0) != (b.rtt() == 0) {
			return cmp.Compare(b.rtt(), a.rtt())
		}
		return cmp.Compare(a.rtt(), b.rtt())
	})
	q.rtt, q.jitter = targets[at].rtt(), targets[at].jitter()
	return q
}

// targets sums up each target. Probes that were not sent do not count. The next call changes what
// this one returned.
func (w *window) targets() []targetQuality {
	out := w.sums[:0]
	for i := range w.rounds {
		for _, a := range w.rounds[(w.next+i)%len(w.rounds)] {
			if notProbed(a.Err) {
				continue
			}
			at := slices.IndexFunc(out, func(t targetQuality) bool { return t.target == a.Target })
			if at < 0 {
				at = len(out)
				out = append(out, targetQuality{target: a.Target})
			}
			out[at].add(a)
		}
	}
	w.sums = out
	return out
}
