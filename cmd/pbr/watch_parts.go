package main

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/healthcheck/history"
	"pbr/kernel"
	"pbr/kernel/state"
)

// watchParts are what runs beside the watch itself, and what a new policy changes in them.
type watchParts struct {
	policies *policies
	kernel   *kernel.Kernel
	log      *logHandler
	logger   *slog.Logger
	names    *namesKeeper
	own      *ownKeeper
	hooks    *daemon.Hooks
	posts    *posts
	prober   *healthcheck.SocketProber
	monitor  *healthcheck.Monitor
	metrics  *metricsServer
	source   *webSource
	page     *webServer
	lists    *followed
	// shed gives back the memory of a start.
	shed *time.Timer
}

// newWatchParts makes the parts for the policy that the watch starts with. Those that open sockets
// for others open them in run.
func (c command) newWatchParts(ctx context.Context, p *policies, k *kernel.Kernel) (*watchParts, error) {
	doc := p.start.doc
	x := &watchParts{policies: p, kernel: k, log: newLog(c.stderr, doc.Watch.Log)}
	x.logger = slog.New(x.log)
	p.log = x.logger
	if p.note != "" {
		x.logger.Warn(p.note)
	}
	var err error
	if x.names, err = newNamesKeeper(k, x.logger); err != nil {
		return nil, err
	}
	if x.own, err = newOwnKeeper(k, x.names, x.logger); err != nil {
		return nil, err
	}
	x.hooks = daemon.NewHooks(x.logger, runHook)
	setHook(x.hooks, doc.Watch.Hook, x.logger)
	x.posts = newPosts(k, x.logger)
	x.posts.target(doc, p.start.text.Path)
	x.prober = healthcheck.NewProber()
	x.monitor = healthcheck.NewMonitor(x.prober)
	x.monitor.Report = x.reportProbes
	x.metrics = &metricsServer{log: x.logger}
	x.notePersistence(doc)
	x.source = &webSource{policies: p, history: history.New(time.Now()), doc: doc}
	x.page = newWebServer(x.source, x.logger)
	x.lists = c.followLists(ctx, p, k, x.logger)
	x.shed = time.AfterFunc(time.Hour, shedStart)
	return x, nil
}

// reportProbes logs that probes cannot be sent, or can be again.
func (x *watchParts) reportProbes(uv healthcheck.UplinkVersion, err error) {
	if err != nil {
		x.logger.Warn("uplink "+uv.Uplink+": probes cannot be sent", "uplink", uv.Uplink, "version", uv.Version, "error", err)
	} else {
		x.logger.Info("uplink "+uv.Uplink+": probes can be sent again", "uplink", uv.Uplink, "version", uv.Version)
	}
}

func (x *watchParts) notePersistence(doc *policy.Document) {
	if err := notePersistence(doc, x.kernel); err != nil {
		x.logger.Warn("recording which lists persist", "error", err)
	}
}

// options are what the watch is made of.
func (x *watchParts) options(ctx context.Context, events <-chan kernel.Event, started func()) daemon.Options {
	p, k := x.policies, x.kernel
	return daemon.Options{
		ReadLists: p.readLists, ListsChanged: x.lists.changed,
		ListsTaken: func(doc *policy.Document) { x.source.setPolicy(doc); x.lists.follow(doc) },
		Policy:     p.start.doc, Reload: p.reload, Held: p.held, Trials: p, Waits: p.waits,
		Reloaded: x.reloaded,
		Names:    x.own, Switched: p.flushSwitched,
		Kernel: watchKernel{k}, Monitor: x.monitor, KernelEvents: convertEvents(ctx, events), HangUp: hangUps(ctx),
		StateFile: healthPath(k), Lasting: state.Find(k.Dir()), Uptime: kernel.Uptime, Log: x.logger,
		Hook: func(e daemon.HookEvent) { x.hooks.Add(e); x.posts.add(e) },
		Notify: func(state string) {
			started()
			notifyManager(state)
			if strings.HasPrefix(state, "READY=1") {
				x.shed.Reset(shedAfter)
			}
		},
		Watchdog: watchdogInterval(), Recent: x.source.recent, EchoIDs: x.prober.EchoIDs, Ports: x.prober.Ports,
	}
}

// reloaded has all parts follow a new policy.
func (x *watchParts) reloaded(doc *policy.Document) {
	x.shed.Reset(shedAfter)
	x.log.setFormat(doc.Watch.Log)
	setHook(x.hooks, doc.Watch.Hook, x.logger)
	x.posts.target(doc, x.policies.path(doc))
	x.metrics.listen(doc.Watch.Metrics)
	x.notePersistence(doc)
	x.source.setPolicy(doc)
	x.page.listen(doc.Watch.Web)
	x.lists.follow(doc)
}

// run runs the watch with its parts until ctx ends, and has events that wait sent.
func (x *watchParts) run(ctx context.Context, cancel func(), w *daemon.Watcher, control net.Listener) error {
	doc := x.policies.start.doc
	x.metrics.report = w.Report
	x.metrics.listen(doc.Watch.Metrics)
	defer x.metrics.close()
	x.source.watch = w
	x.page.listen(doc.Watch.Web)
	x.lists.follow(doc)
	x.posts.start()
	where := &place{kernel: x.kernel, watch: w, log: x.logger, control: control, end: cancel}
	err := runBeside(cancel, func() error { return w.Run(ctx) },
		func() { (&recorder{watch: w, history: x.source.history, log: x.logger}).run(ctx) },
		func() { x.page.run(ctx) },
		func() { x.own.keeper.Run(ctx) },
		func() { where.run(ctx) },
		func() { x.names.run(ctx) })
	patience, done := context.WithTimeout(context.Background(), hookPatience)
	defer done()
	x.hooks.Wait(patience)
	x.posts.end(patience)
	return cmp.Or(err, where.lost)
}

// runBeside runs the parts beside the watch, and when that ends has them end with cancel. A panic
// of the watch does not wait for them: it ends the process, so that the service manager starts
// another.
func runBeside(cancel func(), watch func() error, parts ...func()) error {
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(part)
	}
	err := watch()
	cancel()
	running.Wait() // not deferred: nobody cancels while it panics
	return err
}
