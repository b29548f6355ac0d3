package daemon

import (
	"slices"
	"time"

	"pbr/compiler"
)

// cutter deletes connections beside the loop: the kernel walks all connections for it, which may
// take longer than another uplink's failure may wait.
type cutter struct {
	jobs chan cutJob
	done chan cutJob
	// pending are the jobs that are not done, for the loop alone.
	pending int
	// paid is what they cut; a run that is killed meanwhile still owes it.
	paid []map[compiler.Line]debt
	idle []chan struct{}
}

// cutJob is one request to delete connections, and its result.
type cutJob struct {
	cuts []Cut
	paid map[compiler.Line]debt
	// why is told instead of a failure; empty for one.
	why  string
	n    int
	took time.Duration
	err  error
}

// cutQueue is how many jobs may wait before the loop does: more than there can be uplinks that die
// within one of them.
const cutQueue = 4096

// startCutter starts the goroutine that cuts; it ends, with its work done, when jobs is closed.
func (w *Watcher) startCutter() {
	w.cutter.jobs, w.cutter.done = make(chan cutJob, cutQueue), make(chan cutJob, cutQueue)
	go func() {
		defer close(w.cutter.done)
		for job := range w.cutter.jobs {
			began := time.Now()
			job.n, job.err = w.Kernel.Cut(job.cuts)
			job.took = time.Since(began)
			w.cutter.done <- job
		}
	}()
}

// stopCutter waits for what is still to be cut.
func (w *Watcher) stopCutter() {
	close(w.cutter.jobs)
	for job := range w.cutter.done {
		w.cutDone(job)
	}
}

// cut has the connections of uplinks deleted that died and whose traffic has moved.
func (w *Watcher) cut() {
	if !w.doc.Settings.CutOnFailover {
		clear(w.health.owed)
		clear(w.health.renumbered) // what has lost its address for good ends by itself
		return
	}
	cuts, paid := w.health.cuts(w.doc, w.want)
	cuts = append(cuts, w.health.renumberings(w.doc, w.machine, w.want)...)
	if len(cuts) == 0 {
		return
	}
	w.cutter.pending++
	w.cutter.paid = append(w.cutter.paid, paid)
	w.cutter.jobs <- cutJob{cuts: cuts, paid: paid}
}

// cutDone notes the end of a job. They end in their order.
func (w *Watcher) cutDone(job cutJob) {
	w.cutter.pending--
	w.cutter.paid = w.cutter.paid[1:]
	if job.err != nil {
		w.Log.Error("cutting connections of uplinks that are down", "error", job.err)
	}
	var uplinks []string
	for line := range job.paid {
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
	w.shared.countCut(job.n)
	w.save()
	if w.cutter.pending == 0 {
		for _, waiting := range w.cutter.idle {
			close(waiting)
		}
		w.cutter.idle = nil
	}
}

// whenCut returns a channel that is closed when all is cut that was to be by now.
func (w *Watcher) whenCut() <-chan struct{} {
	done := make(chan struct{})
	if w.cutter.pending == 0 {
		close(done)
		return done
	}
	w.cutter.idle = append(w.cutter.idle, done)
	return done
}

// stillOwed is what is to be cut and not known to be: the next run's, should this one be killed.
func (w *Watcher) stillOwed() map[compiler.Line]*debt {
	owed := map[compiler.Line]*debt{}
	add := func(line compiler.Line, d debt) {
		if owed[line] == nil {
			owed[line] = &debt{}
		}
		owed[line].add(d)
	}
	for line, d := range w.health.owed {
		add(line, *d)
	}
	for _, paid := range w.cutter.paid {
		for line, d := range paid {
			add(line, d)
		}
	}
	return owed
}
