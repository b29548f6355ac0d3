package main

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/members"
	"pbr/kernel/nft"
	"pbr/kernel/state"
	"pbr/kernel/tap/book"
	"pbr/kernel/tap/learn"
)

const (
	// namesLook is how often is looked whether there is something to save, and namesSave how long
	// is waited at most until it is saved: a second for each of so many members.
	namesLook    = time.Second
	namesSave    = 5 * time.Minute
	namesAtLeast = 5 * time.Second
	namesPerLook = 500
)

// namesKeeper joins what learns from DNS answers with the policy and the state directory.
type namesKeeper struct {
	learner *learn.Learner
	asker   *asker
	dir     state.Dir
	log     *slog.Logger

	mu sync.Mutex
	// doc is the policy whose lists are learned, lists are the names of these.
	doc   *policy.Document
	lists []string
	// listed means that lists were set.
	listed chan struct{}
	// saving is locked while files are written.
	saving sync.Mutex
	// taught is what the learner had learned when all was saved last, and saved when that was.
	taught uint64
	saved  time.Time
}

// newNamesKeeper prepares to learn. A list's set that has to be recreated gets what is known at
// that moment.
func newNamesKeeper(k *kernel.Kernel, log *slog.Logger) (*namesKeeper, error) {
	learner, err := k.Learner()
	if err != nil {
		return nil, err
	}
	learner.Failed = func(err error) { log.Warn("learning from DNS answers", "error", err) }
	n := &namesKeeper{learner: learner, asker: newAsker(learner.Answer), dir: state.Find(k.Dir()), log: log, listed: make(chan struct{}, 1)}
	kept := members.Seeds(n.dir, time.Now)
	k.SeedMembers(func(set string) []nft.Member {
		if list, _, ok := plan.ListOf(set); ok {
			n.save(list)
		}
		return kept(set)
	})
	return n, nil
}

// Learn learns for the lists of a policy that is in force.
func (n *namesKeeper) Learn(doc *policy.Document, host plan.HostFacts) {
	n.learner.Own(ownAddresses(host))
	n.mu.Lock()
	same := n.doc == doc
	n.doc = doc
	n.mu.Unlock()
	if same {
		return
	}
	if changed, err := writeDnsmasq(doc); err != nil {
		n.log.Warn("writing dnsmasq's file", "error", err)
	} else if changed {
		n.log.Info("wrote dnsmasq's file; dnsmasq reads it when it starts", "file", doc.Settings.Dnsmasq)
	}
	config := learnConfig(doc)
	known := map[string][]book.Member{}
	var lists []string
	for i := range config.Lists {
		lists = append(lists, config.Lists[i].Name)
		n.load(config.Lists[i].Name, known)
	}
	n.learner.Configure(config, known)
	n.asker.set(doc)
	n.mu.Lock()
	n.lists = lists
	n.mu.Unlock()
	select {
	case n.listed <- struct{}{}:
	default:
	}
}

// learns reports whether there are lists to learn for.
func (n *namesKeeper) learns() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.lists) > 0
}

// learnConfig is what a policy wants to be learned.
func learnConfig(doc *policy.Document) learn.Config {
	c := learn.Config{Queue: doc.Settings.Queue, Adopt: doc.Settings.Dnsmasq != ""}
	for i := range doc.Lists {
		l := &doc.Lists[i]
		size := 0
		for _, s := range l.DomainSources() {
			size += s.Size
		}
		for _, s := range l.DomainSources() {
			from := learn.List{Name: l.Name, Names: s.Names, Timeout: s.Timeout, Size: size, AllowPrivate: s.AllowPrivate,
				Resolvers: s.Resolvers, Interval: l.Dynamic() != nil}
			if len(from.Resolvers) == 0 {
				from.Resolvers = doc.Settings.Resolvers
			}
			c.Lists = append(c.Lists, from)
		}
	}
	return c
}

func ownAddresses(host plan.HostFacts) map[netip.Addr]bool {
	own := map[netip.Addr]bool{}
	for _, link := range host.Links {
		for _, a := range link.Addrs {
			own[a] = true
		}
	}
	return own
}

// load reads what was learned for a list before.
func (n *namesKeeper) load(list string, known map[string][]book.Member) {
	f, err := members.Load(n.dir, list, members.Learned, time.Now())
	if err != nil {
		n.log.Warn("the stored names of list "+list, "error", err)
	}
	for _, m := range f.Members {
		family := plan.IPv4
		if m.From.Is6() {
			family = plan.IPv6
		}
		set := plan.ListSet(list, family)
		known[set] = append(known[set], book.Member{Addr: m.From, Name: m.Name, End: m.Expires})
	}
}

// save keeps what was learned for a list.
func (n *namesKeeper) save(list string) {
	now := time.Now()
	f := members.File{Persist: true, Members: []members.Member{}}
	for _, family := range plan.Families {
		learned, ok := n.learner.Members(plan.ListSet(list, family), now)
		if !ok {
			return
		}
		for _, m := range learned {
			if m.End.IsZero() {
				continue // somebody else's, for ever
			}
			f.Members = append(f.Members, members.Member{From: m.Addr, To: m.Addr,
				Timeout: max(m.End.Sub(now), time.Millisecond), Expires: m.End, Name: m.Name})
		}
	}
	if err := members.Save(n.dir, list, members.Learned, &f, now); err != nil {
		n.log.Warn("saving the members of list "+list, "error", err)
	}
}

// Keep puts what was learned into the state directory now.
func (n *namesKeeper) Keep() { n.saveAll(true) }

// Answers returns what was read of DNS answers.
func (n *namesKeeper) Answers() *daemon.DNSAnswers {
	a := n.learner.Answers()
	if a.Since.IsZero() {
		return nil
	}
	return &daemon.DNSAnswers{Since: a.Since, Count: a.Count, Last: a.Last}
}

// saveAll keeps what was learned for all lists, if that is more than was saved and it is time to,
// or in the end.
func (n *namesKeeper) saveAll(end bool) {
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	lists := n.lists
	n.mu.Unlock()
	taught := n.learner.Taught()
	if taught == n.taught {
		return
	}
	if wait := namesAtLeast + time.Duration(n.count(lists)/namesPerLook)*time.Second; !end && time.Since(n.saved) < min(wait, namesSave) {
		return
	}
	for _, list := range lists {
		n.save(list)
	}
	n.taught, n.saved = taught, time.Now()
}

// count is how many members all lists have.
func (n *namesKeeper) count(lists []string) (total int) {
	now := time.Now()
	for _, list := range lists {
		for _, family := range plan.Families {
			learned, _ := n.learner.Members(plan.ListSet(list, family), now)
			total += len(learned)
		}
	}
	return total
}

// run learns until ctx ends.
func (n *namesKeeper) run(ctx context.Context) {
	ended := make(chan struct{})
	go func() { defer close(ended); n.learner.Run(ctx) }()
	go n.asker.run(ctx)
	tick := time.NewTicker(namesLook)
	defer tick.Stop()
	for {
		var look <-chan time.Time
		if n.learns() { // else nobody is woken for it
			look = tick.C
		}
		select {
		case <-n.listed:
		case <-look:
			n.saveAll(false)
		case <-ended:
			n.saveAll(true)
			return
		}
	}
}
