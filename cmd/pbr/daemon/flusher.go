package daemon

import (
	"slices"
	"time"

	"pbr/compiler"
)

// flusher deletes connections beside the loop: the kernel walks all connections for it, which may
// take longer than another uplink's failure may wait.
type flusher struct {
	jobs chan flushJob
	done chan flushJob
	// pending are the jobs that are not done, for the loop alone.
	pending int
	// taken is what they cut; a run that is killed meanwhile still owes it.
	taken []map[compiler.Line]pendingFlush
	idle  []chan struct{}
}

// flushJob is one request to delete connections, and its result.
type flushJob struct {
	flushes []Flush
	taken   map[compiler.Line]pendingFlush
	// why is told instead of a failure; empty for one.
	why  string
	n    int
	took time.Duration
	err  error
}

// flushQueue is how many jobs may wait before the loop does: more than there can be uplinks that die
// within one of them.
const flushQueue = 4096

// startFlusher starts the goroutine that cuts; it ends, with its work done, when jobs is closed.
func (w *Watcher) startFlusher() {
	w.flusher.jobs, w.flusher.done = make(chan flushJob, flushQueue), make(chan flushJob, flushQueue)
	go func() {
		defer close(w.flusher.done)
		for job := range w.flusher.jobs {
			began := time.Now()
			job.n, job.err = w.Kernel.FlushConnections(job.flushes)
			job.took = time.Since(began)
			w.flusher.done <- job
		}
	}()
}

// stopFlusher waits for what is still to be cut.
func (w *Watcher) stopFlusher() {
	close(w.flusher.jobs)
	for job := range w.flusher.done {
		w.flushDone(job)
	}
}

// flush has the connections of uplinks deleted that died and whose traffic has moved.
func (w *Watcher) flush() {
	if !w.doc.Settings.CutOnFailover {
		clear(w.health.pending)
		clear(w.health.renumbered) // what has lost its address for good ends by itself
		return
	}
	flushes, taken := w.health.flushes(w.doc, w.want)
	flushes = append(flushes, w.health.renumberings(w.doc, w.host, w.want)...)
	if len(flushes) == 0 {
		return
	}
	w.flusher.pending++
	w.flusher.taken = append(w.flusher.taken, taken)
	w.flusher.jobs <- flushJob{flushes: flushes, taken: taken}
}

// flushDone notes the end of a job. They end in their order.
func (w *Watcher) flushDone(job flushJob) {
	w.flusher.pending--
	w.flusher.taken = w.flusher.taken[1:]
	if job.err != nil {
		w.Log.Error("cutting connections of uplinks that are down", "error", job.err)
	}
	var uplinks []string
	for line := range job.taken {
		uplinks = append(uplinks, line.Uplink)
	}
	slices.Sort(uplinks)
	if uplinks = slices.Compact(uplinks); job.why != "" {
		w.Log.Info(job.why, "connections", job.n, "took", job.took)
	} else if uplinks == nil {
		w.Log.Info("cut connections of addresses that are gone", "connections", job.n, "took", job.took)
	} else {
		w.Log.Info("cut connections of uplinks that are down", "uplinks", uplinks, "connections", job.n, "took", job.took)
	}
	w.shared.countFlushed(job.n)
	w.save()
	if w.flusher.pending == 0 {
		for _, waiting := range w.flusher.idle {
			close(waiting)
		}
		w.flusher.idle = nil
	}
}

// whenFlushed returns a channel that is closed when all is cut that was to be by now.
func (w *Watcher) whenFlushed() <-chan struct{} {
	done := make(chan struct{})
	if w.flusher.pending == 0 {
		close(done)
		return done
	}
	w.flusher.idle = append(w.flusher.idle, done)
	return done
}

// unfinished is what is to be cut and not known to be: the next run's, should this one be killed.
func (w *Watcher) unfinished() map[compiler.Line]*pendingFlush {
	pending := map[compiler.Line]*pendingFlush{}
	add := func(line compiler.Line, d pendingFlush) {
		if pending[line] == nil {
			pending[line] = &pendingFlush{}
		}
		pending[line].add(d)
	}
	for line, d := range w.health.pending {
		add(line, *d)
	}
	for _, taken := range w.flusher.taken {
		for line, d := range taken {
			add(line, d)
		}
	}
	return pending
}
