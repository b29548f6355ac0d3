package main

import (
	"context"
	"fmt"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/healthcheck/quota"
	"pbr/kernel"
	"pbr/kernel/conntrack"
)

// watchKernel is the kernel as a watch sees it.
type watchKernel struct{ *kernel.Kernel }

func (k watchKernel) Apply(ctx context.Context, want *plan.Plan) (daemon.Outcome, error) {
	r, err := k.Kernel.Apply(ctx, want)
	return outcome(want, r, err)
}

func (k watchKernel) Update(ctx context.Context, want *plan.Plan) (daemon.Outcome, error) {
	r, err := k.Kernel.Update(ctx, want)
	return outcome(want, r, err)
}

func outcome(want *plan.Plan, r *kernel.Report, err error) (daemon.Outcome, error) {
	if err != nil {
		return daemon.Outcome{}, marked(err)
	}
	return daemon.Outcome{Changed: changedLines(r), Changes: changedObjects(r, want), Warnings: r.Warnings,
		Lost: lossAdvice(r)}, nil
}

// HostFacts marks errors of what changed while it was read.
func (k watchKernel) HostFacts(needs plan.Needs) (plan.HostFacts, error) {
	m, err := k.Kernel.HostFacts(needs)
	return m, marked(err)
}

// marked marks the errors that the watch treats in a way of their own.
func marked(err error) error {
	switch {
	case kernel.Interrupted(err):
		return fmt.Errorf("%w: %w", daemon.ErrInterrupted, err)
	case kernel.Unwritten(err):
		return fmt.Errorf("%w: %w", daemon.ErrNoRoom, err)
	case kernel.Unfit(err):
		return markedError{err, daemon.ErrUnfit}
	case kernel.Moved(err):
		return markedError{err, daemon.ErrMoved}
	}
	return err
}

// markedError is an error of a kind, in the words of the kernel alone.
type markedError struct {
	error
	kind error
}

func (e markedError) Unwrap() []error { return []error{e.kind, e.error} }

// Traffic returns what interfaces carried since they exist.
func (k watchKernel) Traffic(interfaces []string) (map[string]quota.Reading, error) {
	carried, err := k.Kernel.Traffic(interfaces)
	out := map[string]quota.Reading{}
	for name, t := range carried {
		out[name] = quota.Reading{Boot: t.Boot, Index: t.Index, Bytes: t.Bytes}
	}
	return out, marked(err)
}

func (k watchKernel) FlushConnections(flushes []daemon.Flush) (int, error) {
	var list []conntrack.Flush
	var left []kernel.Unmarked
	for _, c := range flushes {
		if c.Left != nil {
			left = append(left, unmarked(c.Left, c.Mask))
		}
		for _, m := range c.Marks {
			list = append(list, conntrack.Flush{Family: c.Family, Mark: m, Mask: c.Mask})
		}
		if len(c.AddrMarks) == 0 {
			c.AddrMarks = []uint32{0}
		}
		for _, m := range c.AddrMarks {
			if len(c.Addrs) > 0 {
				list = append(list, conntrack.Flush{Family: c.Family, Mask: c.Mask, Addrs: c.Addrs, AddrMark: m})
			}
		}
	}
	return k.Kernel.FlushConnections(list, left)
}

func (k watchKernel) Pin(pins []daemon.Pin) (int, error) {
	var list []conntrack.Pin
	var leaving []kernel.UnmarkedPin
	for _, p := range pins {
		list = append(list, conntrack.Pin{Mark: p.Mark, Mask: p.Mask, Addrs: p.Addrs})
		for _, u := range p.Leaving {
			leaving = append(leaving, kernel.UnmarkedPin{Unmarked: unmarked(&u, p.Mask), Mark: p.Mark})
		}
	}
	return k.Kernel.Pin(list, leaving)
}

func unmarked(u *daemon.Unmarked, mask uint32) kernel.Unmarked {
	return kernel.Unmarked{Family: u.Family, Mask: mask, Table: u.Table, Interface: u.Interface, Strict: u.Strict}
}

var eventKinds = map[kernel.EventKind]daemon.KernelEventKind{
	kernel.EventHost: daemon.HostChanged, kernel.EventDrift: daemon.Drift, kernel.EventOverrun: daemon.Overrun,
}

// convertEvents hands events on until they, or ctx, end.
func convertEvents(ctx context.Context, in <-chan kernel.Event) <-chan daemon.KernelEvent {
	out := make(chan daemon.KernelEvent)
	go func() {
		defer close(out)
		for n := range in {
			select {
			case out <- daemon.KernelEvent{
				Kind: eventKinds[n.Kind], What: n.What, Who: n.Who, Objects: n.Objects, TableGone: n.TableGone,
			}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
