package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/netevents"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// burst is how long events are collected after the first one: a link that goes away causes dozens
// of events within a millisecond.
const burst = 2 * time.Millisecond

// retry is the wait after an error of the event sockets other than an overrun.
const retry = time.Second

// Events reports what happens in the network namespace from now on, until ctx ends, which closes
// the channel. It does not report what k itself does. A burst becomes one event of each kind, and
// for drift one for each process that caused it; the same holds for what happens while nobody
// receives. Events never waits for its receiver. If it loses something, it reports an overrun.
//
// Objects of ours are recognised by routing protocol and table name, and by the tables and
// priorities of the last Apply or Update.
func (k *Kernel) Events(ctx context.Context) (<-chan Event, error) {
	routes, err := k.route.Watch()
	if err != nil {
		return nil, err
	}
	rulesets, err := k.nft.Watch(k.beside...)
	if err != nil {
		return nil, errors.Join(err, routes.Close())
	}
	rulesets.Filled = k.filledByOthers
	context.AfterFunc(ctx, func() {
		_ = routes.Close()
		_ = rulesets.Close()
	})
	in, out := make(chan Event), make(chan Event)
	who := newPeerNames()
	go listen(ctx, in, routes.Next, func(c route.Change) (Event, bool) { return k.routeEvent(c, who) })
	go listen(ctx, in, rulesets.Next, func(c nft.Change) (Event, bool) {
		return Event{Kind: EventDrift, What: c.Text, Who: who.task(c.Task, c.Name), Objects: c.Objects, TableGone: c.TableGone}, true
	})
	go k.watchCgroups(ctx, in)
	go gather(ctx, in, out)
	return out, nil
}

// listen converts changes into events until the watcher is closed.
func listen[T any](ctx context.Context, in chan<- Event, next func() ([]T, error), event func(T) (Event, bool)) {
	send := func(n Event) {
		select {
		case in <- n:
		case <-ctx.Done():
		}
	}
	for {
		changes, err := next()
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, netevents.ErrOverrun):
			send(Event{Kind: EventOverrun, What: err.Error()})
		case err != nil:
			send(Event{Kind: EventOverrun, What: err.Error()})
			select {
			case <-time.After(retry):
			case <-ctx.Done():
			}
		}
		for _, c := range changes {
			if n, ok := event(c); ok {
				send(n)
			}
		}
	}
}

// routeEvent converts a change into an event; false if it does not concern us. A change that nobody
// requested over netlink was made by the kernel, which removes routes together with their link.
func (k *Kernel) routeEvent(c route.Change, who *peerNames) (Event, bool) {
	ours := false
	switch c.Kind {
	case route.LinkChange, route.AddressChange:
		return Event{Kind: EventHost, What: c.Text}, true
	case route.SettingChange:
		return k.settingEvent(c)
	case route.RouteChange:
		ours = c.Route.Protocol == plan.Protocol || k.ownsTable(c.Route.Table) && !route.KernelMade(c.Route)
	case route.RuleChange:
		ours = c.Rule.Protocol == plan.Protocol || k.ownsPriority(c.Rule.Priority)
	}
	switch {
	case ours && c.Port != 0:
		return Event{Kind: EventDrift, What: c.Text, Who: who.port(c.Port), Objects: []string{c.Object}}, true
	case ours || c.HostFacts:
		return Event{Kind: EventHost, What: c.Text}, true
	}
	return Event{}, false
}

// settingEvent reports settings that no longer have the value of the plan in force. Nobody knows
// who wrote to /proc, so our own changes are recognised by their value.
func (k *Kernel) settingEvent(c route.Change) (Event, bool) {
	settings := k.settings.Load()
	if settings == nil {
		return Event{}, false
	}
	for _, s := range c.Settings {
		if want, ours := (*settings)[s.Path]; ours && want != s.Value {
			return Event{Kind: EventDrift, What: fmt.Sprintf("%s set to %s", s.Path, s.Value), Objects: []string{s.Path}}, true
		}
	}
	return Event{}, false
}

func (k *Kernel) ownsTable(table uint32) bool {
	o := k.owned.Load()
	if o == nil || table == plan.MainTable {
		return false
	}
	_, found := slices.BinarySearch(o.Tables, table)
	return found
}

func (k *Kernel) ownsPriority(priority uint32) bool {
	o := k.owned.Load()
	return o != nil && plan.InSpan(o.BasePriority, priority)
}

// gatherer merges events.
type gatherer struct {
	pending []Event
	// more has the number of further events that each pending one stands for.
	more []int
}

func (g *gatherer) add(n Event) {
	if n.Kind == EventOverrun {
		// Everything has to be read anyway.
		g.pending, g.more = []Event{n}, []int{0}
		return
	}
	for i, p := range g.pending {
		if p.Kind == EventOverrun || p.Kind == n.Kind && p.Who == n.Who {
			g.more[i]++
			if p.Kind == EventDrift {
				g.pending[i].addObjects(n.Objects)
				g.pending[i].TableGone = p.TableGone || n.TableGone
			}
			return
		}
	}
	g.pending, g.more = append(g.pending, n), append(g.more, 0)
}

// first returns the next event to deliver.
func (g *gatherer) first() Event {
	n := g.pending[0]
	if g.more[0] > 0 && n.Kind != EventOverrun {
		n.What += fmt.Sprintf(" (and %d more)", g.more[0])
	}
	return n
}

func (g *gatherer) drop() { g.pending, g.more = g.pending[1:], g.more[1:] }

// gather delivers events, and a burst at its end.
func gather(ctx context.Context, in <-chan Event, out chan<- Event) {
	defer close(out)
	var g gatherer
	var end <-chan time.Time
	ready := false
	for {
		var deliver chan<- Event
		var first Event
		if ready && len(g.pending) > 0 {
			deliver, first = out, g.first()
		}
		select {
		case n := <-in:
			if len(g.pending) == 0 {
				ready, end = false, time.After(burst)
			}
			g.add(n)
		case <-end:
			ready, end = true, nil
		case deliver <- first:
			g.drop()
		case <-ctx.Done():
			return
		}
	}
}
