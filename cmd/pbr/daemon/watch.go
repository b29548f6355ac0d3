// Package daemon keeps a kernel to a policy while uplinks fail and return, addresses and gateways
// change, and others meddle. It joins the health monitor, the compiler and the kernel, each given
// to it, in one loop:
//
//	uplink's state changes   compile, send the difference, flush the connections of a dead uplink
//	the machine changes      read it again, tell the monitor of links, compile, apply
//	others change our state  apply, less and less eagerly if they go on
//	reload                   compile the new policy and apply it, or keep the old one
//
// Nothing in it waits for a probe, a hook or a client.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

const (
	// eventPause is how long a change of the host may continue before everything is read again:
	// events of the monitor about the same change come first.
	eventPause = 2 * time.Millisecond
	// spacing is the least time between two full passes for changes of the host, so that a storm of
	// them does not use a whole core.
	spacing = 100 * time.Millisecond
	// audit is the time between two full passes without a reason. Changes of some settings raise no
	// event.
	audit = time.Minute
	// eventPatience is how long an event of a new state may take to arrive.
	eventPatience = 100 * time.Millisecond
	// applyPatience is how long the first apply, and a reload's, is repeated while the host facts
	// keep changing. The loop is blocked meanwhile.
	applyPatience = time.Second
)

// Options configure a Watcher. All but Held, Trials, Waits, Recent, EchoIDs, Ports, Hook, Notify
// and Watchdog are required.
type Options struct {
	// Policy is the valid policy to start with; Reload reads it again. Reload's error lists
	// everything that is wrong.
	Policy *policy.Document
	Reload func() (*policy.Document, error)
	// Reloaded is called with each policy that came into force by a reload.
	Reloaded func(*policy.Document)
	// ReadLists reads some list files of a policy, and its fetched lists, again; nil if nothing
	// changes without a reload. ListsChanged says when to; ListsTaken is called with each policy
	// that came into force this way.
	ReadLists    func(doc *policy.Document, files []string) (*policy.Document, error)
	ListsChanged <-chan ListChange
	ListsTaken   func(*policy.Document)
	Kernel       Kernel
	Monitor      Monitor
	// KernelEvents are the kernel's events. If the channel closes, that is an error.
	KernelEvents <-chan KernelEvent
	// HangUp requests a reload.
	HangUp <-chan struct{}
	// StateFile stores what the next run needs.
	StateFile string
	// Lasting stores what has to outlive a reboot; nil for nothing.
	Lasting Lasting
	// Uptime returns the time since boot.
	Uptime func() time.Duration
	Log    *slog.Logger
	// Held is the policy that the kernel holds from before. If Policy cannot be applied because the
	// journal cannot be written (ErrNoRoom), the watch starts with Held, and reloads when there is
	// space.
	Held func() (*policy.Document, error)
	// Names learns from DNS answers; nil if nobody does.
	Names Names
	// Switched deletes the connections that policies decide otherwise since their windows began or
	// ended, and returns how many. It runs concurrently with the loop, but never twice at a time;
	// nil to delete none.
	Switched func(*Switches) (int, error)
	// Trials records what is in force; Waits is the trial of Policy that an earlier run began, nil
	// if there is none.
	Trials Trials
	Waits  *Trial
	// Recent returns the recent measurements of the uplinks, to any goroutine.
	Recent func() []Measured
	// EchoIDs returns the identifiers of the checks' pings by uplink, to any goroutine.
	EchoIDs func() map[string]uint16
	// Ports returns the source ports of the last probes by uplink, to any goroutine.
	Ports func() map[string][]healthcheck.Port
	// Hook is called once per event, and must not block.
	Hook func(HookEvent)
	// Notify notifies the service manager (sd_notify(3)); Watchdog is how often it expects a sign
	// that the loop works, 0 for never.
	Notify   func(state string)
	Watchdog time.Duration
}

// Watcher is a running watch.
type Watcher struct {
	Options
	doc *policy.Document
	// compiler is that of the policy that was compiled last.
	compiler *compiler.Compiler
	host     plan.HostFacts
	// want is the plan that was sent last.
	want    *plan.Plan
	configs []healthcheck.Config
	health  *health
	quotas  *Quotas
	// counted is the policy of the last look at what interfaces counted.
	counted *policy.Document
	past    past
	// repairs count others' changes; failures count the kernel's errors, which are unrelated.
	repairs  backoffs
	failures backoff
	gone     tableGone
	// reading is a reload's, nil when none is under way.
	reading *reading
	lists   lists
	// retry is a reload that failed, or the file that could not be applied at the start, and waits
	// to be tried again; nil if there is none.
	retry *retry
	// full is the time of the next full pass; its reasons are in dirty.
	full    *time.Timer
	dirty   dirty
	lastRun time.Time
	// late fires when to look for connections that late answers began; nil if none is expected.
	late    *time.Timer
	flusher flusher
	windows windows
	// kept are the tables that have no usable uplink left, and the uplinks that they still use.
	kept map[string][]string
	// spent means that default leads nowhere because quotas are used up.
	spent bool
	// moveBackTimer fires when connections may move back to a better uplink.
	moveBackTimer *time.Timer
	// together is what the log last said about checks that fail together.
	together string
	// fallbacks are the policies whose uplink cannot be used.
	fallbacks []Fallback
	// trial is the apply that waits to be confirmed; nil without one.
	trial *trial
	// calls are made in the loop; orders also while a policy is being prepared.
	calls, orders chan func()
	shared        shared
}

// dirty has the reasons for a full pass.
type dirty struct {
	due     bool
	at      time.Time
	drift   bool
	retry   bool
	gone    bool
	objects []string
	what    []string
	peers   []string
}

// New prepares a Watcher.
func New(o Options) *Watcher {
	w := &Watcher{Options: o, doc: o.Policy, calls: make(chan func()), orders: make(chan func()), repairs: backoffs{}}
	if w.Notify == nil {
		w.Notify = func(string) {}
	}
	if w.Hook == nil {
		w.Hook = func(HookEvent) {}
	}
	if w.Names == nil {
		w.Names = unnamed{}
	}
	if w.Switched == nil {
		w.Switched = func(*Switches) (int, error) { return 0, nil }
	}
	if w.Trials == nil {
		w.Trials = untried{}
	}
	if w.Reloaded == nil {
		w.Reloaded = func(*policy.Document) {}
	}
	if w.Held == nil {
		w.Held = func() (*policy.Document, error) { return nil, errors.New("no policy is known to be in force") }
	}
	w.shared.init(o.Policy)
	// The socket may be asked before the loop reads the state, and says what is wrong with it.
	if events, err := PastEvents(w.StateFile); err == nil {
		w.past.set(events)
	}
	return w
}

// Run applies the policy and keeps it in force until ctx ends, which is not an error; the kernel's
// state then stays as it is. An error before the first apply is complete ends Run; later ones are
// logged and tried again.
func (w *Watcher) Run(ctx context.Context) error {
	w.health = w.loadHealth()
	w.shared.setDown(w.health.down) // -- other commands compile the same plan
	want, outcome, err := w.apply(ctx, w.doc)
	if errors.Is(err, ErrNoRoom) && w.Waits == nil {
		want, outcome, err = w.applyHeld(ctx, err)
	}
	if err != nil {
		return err
	}
	w.logOutcome("applied the policy", outcome)
	w.hold(want)
	w.startFlusher()
	w.health.learnAddresses(w.doc, w.host)
	w.flush()
	w.setConfigs(w.health.statuses)
	w.sendLinks()
	w.startQuotas()
	w.health.noteNew(w.Monitor.Statuses())
	checking, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Monitor.Run(checking) }()
	w.logKept()
	w.full = time.NewTimer(audit)
	w.moveBackTimer = time.NewTimer(audit)
	w.moveBack()
	if w.Waits != nil {
		w.startTrial(w.doc, w.Waits.Previous, w.Waits.End)
	} else {
		w.noteTrial("recording the policy in force", w.Trials.Kept(w.doc))
	}
	w.ready()
	err = w.loop(ctx, ended)
	cancel()
	w.Notify("STOPPING=1")
	w.stopFlusher()
	w.windows.flushing.Wait()
	w.count(time.Now())
	w.saveQuotas(time.Now())
	w.save()
	return err
}

func (w *Watcher) loop(ctx context.Context, ended chan error) error {
	prefer := time.NewTicker(preferPause)
	defer prefer.Stop()
	counting := time.NewTicker(quotaLook)
	defer counting.Stop()
	watchdog, stop := w.startWatchdog()
	defer stop()
	events := w.Monitor.Events()
	for {
		w.readLists()
		select {
		case <-ctx.Done():
			<-ended
			w.Log.Info("ending: routes, rules and marks stay as they are")
			return nil
		case err := <-ended:
			return monitorEnded(ctx, err)
		case e, ok := <-events:
			if !ok {
				events = nil // -- the monitor is ending, which ended reports
				continue
			}
			w.react(ctx, w.pendingEvents(ctx, []healthcheck.Event{e}))
		case n, ok := <-w.KernelEvents:
			switch {
			case ok:
				w.kernelEvent(n)
			case ctx.Err() == nil:
				return errors.New("the kernel's events ended")
			}
		case <-w.HangUp:
			w.endRetry() // -- this one counts from now on
			w.reload()
		case got := <-w.read():
			w.reloadRead(ctx, got)
		case c := <-w.ListsChanged:
			w.listsChanged(c)
		case got := <-w.lists.reading:
			w.listsRead(ctx, got)
		case <-w.listsRetry():
			w.lists.retry = nil
		case <-w.readLate():
			w.abandon()
		case <-w.retryDue():
			w.tryAgain()
		case do := <-w.calls:
			do()
		case do := <-w.orders:
			do()
		case <-w.trialDue():
			w.lookAtTrial(ctx)
		case job := <-w.flusher.done:
			w.flushDone(job)
		case <-w.windowsDue():
			w.lookAtWindows()
		case <-w.moveBackTimer.C:
			w.moveBack()
		case <-w.preferDue(prefer):
			w.preferQuicker(ctx)
		case <-w.full.C:
			w.pass(ctx)
		case <-w.lateDue():
			w.sweepLate()
		case <-w.countDue(counting):
			w.count(time.Now())
		case <-watchdog:
			w.Notify("WATCHDOG=1")
		}
	}
}

// startWatchdog returns when the service manager expects a sign: never, if it expects none.
func (w *Watcher) startWatchdog() (due <-chan time.Time, stop func()) {
	if w.Watchdog <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(w.Watchdog)
	return t.C, t.Stop
}

// monitorEnded is the loop's error when the monitor ends before the loop is told to.
func monitorEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("checking uplinks: %w", errors.Join(err, errors.New("the monitor ended")))
}

func (w *Watcher) ready() {
	w.Notify("READY=1\nSTATUS=" + w.summary())
}
