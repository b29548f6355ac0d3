//go:build !small

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/web"
	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/healthcheck/history"
	"pbr/kernel"
	"pbr/render"
	"pbr/render/graph"
)

const (
	// kernelAge is how old what the page knows of the kernel may be at best; a reading that takes
	// long is done less often: it takes a twentieth of the time.
	kernelAge   = time.Second
	kernelShare = 20
	// firstPatience is how long a page waits for the first reading.
	firstPatience = 250 * time.Millisecond
	// resolvePatience is how long a host's name is looked up.
	resolvePatience = 3 * time.Second
)

// webSource is what the page shows of a running watch. It reads the watch's report, and the
// kernel by connections of its own.
type webSource struct {
	watch    *daemon.Watcher
	policies *policies
	history  *history.History

	mu sync.Mutex
	// doc is the policy in force.
	doc *policy.Document
	// seen is what was read of the kernel last, and when the next reading may begin.
	seen    *seen
	next    time.Time
	reading chan struct{}
	// drawn is the picture that was made last: of many policies it takes a while.
	drawn drawn
}

// drawn is a picture with what it was made of.
type drawn struct {
	doc       *policy.Document
	seen      *seen
	states    string
	ways      *graph.Graph
	selectors []web.Selector
}

// seen is what was read of the kernel.
type seen struct {
	status  *statusResult
	host    plan.HostFacts
	notes   []string
	trial   *trialStatus
	trouble string
	// states are those of the uplinks at that time.
	states string
}

// setPolicy says which policy is in force.
func (w *webSource) setPolicy(doc *policy.Document) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doc = doc
}

// inForce is the policy in force with its text.
func (w *webSource) inForce() *policyFile {
	w.mu.Lock()
	doc := w.doc
	w.mu.Unlock()
	text := w.policies.text(doc)
	if text == nil {
		text = w.policies.current()
	}
	return &policyFile{display: text.Name, text: text, doc: doc}
}

// History implements web.Source.
func (w *webSource) History() *history.History { return w.history }

// Events implements web.Source.
func (w *webSource) Events() []daemon.PastEvent { return w.watch.Events() }

// Snapshot implements web.Source: the watch's report of now, and what was read of the kernel
// recently.
func (w *webSource) Snapshot(ctx context.Context) (*web.Snapshot, error) {
	report := w.watch.Report()
	doc := w.inForce().doc
	k := w.kernel(ctx, &report)
	n := &web.Snapshot{Policy: report.Policy, Loaded: report.Loaded, Since: report.Since, Together: report.Together}
	s := &statusResult{Uplinks: uplinkStatuses(report.Uplinks, &report.Outline)}
	s.setQuotas(report.Quotas)
	if k != nil {
		n.Notes, n.Trouble = k.notes, k.trouble
		if k.trial != nil {
			n.Trial = &web.Trial{Until: k.trial.Until, Failure: k.trial.Failure}
		}
	}
	for i := range s.Uplinks {
		n.Lines = append(n.Lines, webLine(&s.Uplinks[i], doc, k))
	}
	if k != nil && k.status != nil {
		live := *k.status
		live.Uplinks = s.Uplinks // states are of now
		d := w.draw(drawn{doc: doc, seen: k, states: stateWords(report.Uplinks)}, &live)
		n.Ways, n.Selectors, n.MoreSelectors = d.ways, d.selectors, len(live.Policies)+len(live.Rules)-len(d.selectors)
	}
	return n, nil
}

// draw makes a picture, unless the last one was made of the same.
func (w *webSource) draw(d drawn, status *statusResult) drawn {
	w.mu.Lock()
	last := w.drawn
	w.mu.Unlock()
	if last.doc == d.doc && last.seen == d.seen && last.states == d.states {
		return last
	}
	d.ways, d.selectors = graph.New(d.doc, graphLive(status)), webSelectors(status)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drawn = d
	return d
}

// kernel returns what was read of the kernel last, and begins another reading when it is time;
// nil if there was none yet.
func (w *webSource) kernel(ctx context.Context, report *daemon.Report) *seen {
	w.mu.Lock()
	states := stateWords(report.Uplinks)
	changed := w.seen != nil && w.seen.states != states
	if w.reading == nil && (changed || !time.Now().Before(w.next)) {
		w.reading = make(chan struct{})
		go w.read(*report, states)
	}
	last, reading := w.seen, w.reading
	w.mu.Unlock()
	if last != nil || reading == nil {
		return last
	}
	select {
	case <-reading:
	case <-time.After(firstPatience):
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// stateWords tell one set of states from another.
func stateWords(list []healthcheck.Status) string {
	var b strings.Builder
	for i := range list {
		b.WriteString(string(list[i].State) + " ")
	}
	return b.String()
}

// read reads the kernel. A fault in it must not be the end of the watch.
func (w *webSource) read(report daemon.Report, states string) {
	begin, now := time.Now(), &seen{states: states}
	defer func() {
		if fault := recover(); fault != nil {
			now.trouble = fmt.Sprint(fault)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen, w.next = now, time.Now().Add(max(kernelAge, kernelShare*time.Since(begin)))
		close(w.reading)
		w.reading = nil
	}()
	err := withOwnKernel(func(k *kernel.Kernel) (err error) {
		s := &statusResult{Uplinks: uplinkStatuses(report.Uplinks, &report.Outline)}
		if err = s.readKernel(&report.Outline, k); err != nil {
			return err
		}
		if now.host, err = k.HostFacts(plan.Needs{}); err != nil {
			return err
		}
		now.status = s
		p, err := policyStatusOf(report.Policy, k, &report)
		now.notes, now.trial = p.standing(), p.Trial
		return err
	})
	if err != nil {
		now.trouble = err.Error()
	}
}

// Explain implements web.Source.
func (w *webSource) Explain(ctx context.Context, t *explain.Text) (story *explain.Story, err error) {
	f := w.inForce()
	err = withOwnKernel(func(k *kernel.Kernel) error {
		x, err := quiet().liveExplainer(f, k)
		if err != nil {
			return err
		}
		q, err := x.Read(t, patientResolver(ctx))
		if err != nil {
			return err
		}
		a, err := x.Answer(q)
		if err == nil {
			story = x.Story(a, f.text.Source(f.display), false)
		}
		return err
	})
	return story, err
}

// patientResolver looks hosts up, and gives up after a while.
func patientResolver(ctx context.Context) explain.Resolver {
	return func(host string) (addrs []netip.Addr) {
		ctx, cancel := context.WithTimeout(ctx, resolvePatience)
		defer cancel()
		addrs, _ = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		return addrs
	}
}

// Difference implements web.Source. It compares the kernel with the policy file, which may have
// been edited since, as pbr diff does.
func (w *webSource) Difference(context.Context) (text string, err error) {
	f := w.inForce()
	if f.text.Path != "" {
		edited, err := loadFile(f.text.Path, f.display, policy.Options{ErrorsOnly: true})
		if err != nil {
			return "", err
		}
		if ds := edited.diagnostics; ds.HasErrors() {
			return "", fmt.Errorf("%s is broken: run pbr check", f.display)
		}
		f = edited
	}
	err = withOwnKernel(func(k *kernel.Kernel) error {
		now, err := quiet().readSituation(f.doc, k)
		if err != nil {
			return err
		}
		want, problems := compiler.Compile(f.doc, now.host, now.down())
		if want == nil {
			return problems[0]
		}
		have, err := k.Live(want)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if changes := plan.Diff(have, want); !changes.Empty() {
			err = render.Diff(&b, have, want, changes, false)
		}
		text = b.String()
		return err
	})
	return text, err
}

// standing are the notes without that of the trial.
func (p *policyStatus) standing() []string {
	return slices.DeleteFunc(slices.Clone(p.notes), func(n string) bool { return n == p.trialNote })
}
