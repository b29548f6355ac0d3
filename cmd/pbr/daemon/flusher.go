package daemon

import (
	"slices"
	"time"

	"pbr/compiler"
)

// flusher deletes connections concurrently with the loop: the kernel walks all connections for it,
// which may take longer than another uplink's failure can wait.
type flusher struct {
	jobs chan flushJob
	done chan flushJob
	// pending is how many jobs are not done; only the loop uses it.
	pending int
	// taken is what the jobs flush; a run that is killed meanwhile leaves it to the next one.
	taken []map[compiler.UplinkVersion]pendingFlush
	idle  []chan struct{}
}

// flushJob is one request to delete connections, and its result.
type flushJob struct {
	flushes []Flush
	taken   map[compiler.UplinkVersion]pendingFlush
	// why is the log message; empty for a failure of uplinks.
	why  string
	n    int
	took time.Duration
	err  error
}

// flushQueue is how many jobs may wait before the loop does: more than there can be uplinks that
// fail within one of them.
const flushQueue = 4096

// startFlusher starts the goroutine that deletes connections; it ends, with its work done, when
// jobs is closed.
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

// stopFlusher waits for the remaining jobs.
func (w *Watcher) stopFlusher() {
	close(w.flusher.jobs)
	for job := range w.flusher.done {
		w.flushDone(job)
	}
}

// flush deletes the connections of uplinks that failed and whose traffic has moved.
func (w *Watcher) flush() {
	if !w.doc.Settings.FlushOnFailover {
		clear(w.health.pending)
		clear(w.health.renumbered) // -- connections whose address is gone for good end by themselves
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

// flushDone handles the end of a job. Jobs end in order.
func (w *Watcher) flushDone(job flushJob) {
	w.flusher.pending--
	w.flusher.taken = w.flusher.taken[1:]
	if job.err != nil {
		w.Log.Error("flushing connections of uplinks that are down", "error", job.err)
	}
	var uplinks []string
	for uv := range job.taken {
		uplinks = append(uplinks, uv.Uplink)
	}
	slices.Sort(uplinks)
	if uplinks = slices.Compact(uplinks); job.why != "" {
		w.Log.Info(job.why, "connections", job.n, "took", job.took)
	} else if uplinks == nil {
		w.Log.Info("flushed connections of addresses that are gone", "connections", job.n, "took", job.took)
	} else {
		w.Log.Info("flushed connections of uplinks that are down", "uplinks", uplinks, "connections", job.n, "took", job.took)
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

// whenFlushed returns a channel that is closed when all flushes requested so far are done.
func (w *Watcher) whenFlushed() <-chan struct{} {
	done := make(chan struct{})
	if w.flusher.pending == 0 {
		close(done)
		return done
	}
	w.flusher.idle = append(w.flusher.idle, done)
	return done
}

// unfinished returns the flushes that are not known to be done: the next run does them if this one
// is killed.
func (w *Watcher) unfinished() map[compiler.UplinkVersion]*pendingFlush {
	pending := map[compiler.UplinkVersion]*pendingFlush{}
	add := func(uv compiler.UplinkVersion, d pendingFlush) {
		if pending[uv] == nil {
			pending[uv] = &pendingFlush{}
		}
		pending[uv].add(d)
	}
	for uv, d := range w.health.pending {
		add(uv, *d)
	}
	for _, taken := range w.flusher.taken {
		for uv, d := range taken {
			add(uv, d)
		}
	}
	return pending
}
