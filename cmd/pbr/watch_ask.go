package main

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"pbr/compiler/policy"
	"pbr/healthcheck"
)

const (
	// askPause is the time between two questions, so that a long list does not flood a resolver.
	askPause = 50 * time.Millisecond
	// askPatience is how long an answer may take, and askAgain when a name is asked for again that
	// had none.
	askPatience = 2 * time.Second
	askAgain    = time.Minute
	// A name is resolved again when its answer's time to live is over, within these bounds.
	askSoonest = 5 * time.Second
	askLatest  = time.Hour
)

// asker asks the system's resolver for the names of lists, so that they have addresses before a
// client asks. Names below them are not known.
type asker struct {
	answered func(msg []byte, server netip.Addr)
	// changed holds a token after the names changed.
	changed chan struct{}
	mu      sync.Mutex
	// due is when to ask for each name, by name and type.
	due map[asked]time.Time
}

type asked struct {
	name string
	kind dnsmessage.Type
}

func newAsker(answered func([]byte, netip.Addr)) *asker {
	return &asker{answered: answered, changed: make(chan struct{}, 1), due: map[asked]time.Time{}}
}

// set makes the names those of a policy. New ones are asked for at once.
func (a *asker) set(doc *policy.Document) {
	defer func() {
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.due
	a.due = map[asked]time.Time{}
	for i := range doc.Lists {
		for _, s := range doc.Lists[i].DomainSources() {
			for _, name := range s.Names {
				for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
					q := asked{name, kind}
					a.due[q] = before[q]
				}
			}
		}
	}
}

// run asks until ctx ends. While nothing is due it sleeps.
func (a *asker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.changed:
		case now := <-timer.C:
			if q, ok := a.next(now); ok {
				a.ask(ctx, q)
			}
		}
		if at, any := a.first(); any {
			timer.Reset(max(askPause, time.Until(at)))
		}
	}
}

// first is when the first question is due.
func (a *asker) first() (at time.Time, any bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, due := range a.due {
		if !any || due.Before(at) {
			at, any = due, true
		}
	}
	return at, any
}

// next is a question that is due; it is not due again while it is asked.
func (a *asker) next(now time.Time) (q asked, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for one, due := range a.due {
		if !due.After(now) {
			a.due[one] = now.Add(askAgain)
			return one, true
		}
	}
	return q, false
}

// ask asks the servers of the system, one after the other.
func (a *asker) ask(ctx context.Context, q asked) {
	servers, err := healthcheck.NameServers(healthcheck.ResolvConf)
	if err != nil {
		return // the system has no resolver
	}
	question, err := newQuestion(q.name, q.kind)
	if err != nil {
		return // the policy was checked: never
	}
	for _, server := range servers {
		addr, err := netip.ParseAddr(server)
		if err != nil {
			continue
		}
		got, err := askServer(ctx, net.JoinHostPort(server, healthcheck.DNSPort), question)
		if err != nil {
			continue
		}
		a.answered(got.text, addr.WithZone("").Unmap())
		a.again(q, got.ttl)
		return
	}
}

// again notes when a name is to be asked for again.
func (a *asker) again(q asked, ttl time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, is := a.due[q]; is {
		a.due[q] = time.Now().Add(min(max(ttl, askSoonest), askLatest))
	}
}
