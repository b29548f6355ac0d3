package learn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
	"pbr/kernel/tap"
	"pbr/kernel/tap/answer"
	"pbr/kernel/tap/book"
)

const (
	// aliveFor is how long packets come to the queue after the last sign of life, and beat the time
	// between two of them.
	aliveFor = 2 * time.Second
	beat     = 600 * time.Millisecond
	// glance is how long the reader waits for packets at most: its own sign of life.
	glance = 250 * time.Millisecond
	// tooLate is how much later than it should something happens in a process that is starved of
	// processor time, and steady how many beats it has to come in time again until it shows that it
	// is alive: it must not be alive now and then.
	tooLate = 200 * time.Millisecond
	steady  = 4
	// patience is how long answers wait for the kernel to take what they teach. It takes a fraction
	// of a millisecond, except for as long as somebody changes a lot of nftables.
	patience = 200 * time.Millisecond
	// atOnce is how many packets are read before those are let go.
	atOnce = 64
)

// Learner learns. Its methods are safe for concurrent use; Run is called once.
type Learner struct {
	// using is locked while conn is used.
	using sync.Mutex
	conn  *nft.Conn
	// Failed is called with what goes wrong, once for each kind until it works again.
	Failed func(error)

	mu sync.Mutex
	// listener is what Run reads from, next what it is to read from.
	listener, next *tap.Listener
	way            plan.Tap
	reason         string
	queue          uint16
	topic          *topic
	sets           map[string]*set
	// done is closed when what is pending now is in the kernel; nil if nothing is.
	done chan struct{}

	kick chan struct{}
	// bound tells the reader of another listener.
	bound chan struct{}
	// seen is when the reader was last at work, in nanoseconds.
	seen atomic.Int64
	// beating means that the sign of life was given, and may still be there.
	beating time.Time
	// pace reports whether this process gets the processor time that it needs.
	pace pace
	// taught counts the addresses that became members.
	taught atomic.Uint64
	// answers is under mu.
	answers Answers
	// failed is what was told last, under telling.
	telling sync.Mutex
	failed  string
}

// New returns a Learner that learns nothing yet. It has to be called in the network namespace that
// it works in; ledger is the one of those who read the table.
func New(ledger *nft.Ledger) (*Learner, error) {
	c, err := nft.Open()
	if err != nil {
		return nil, err
	}
	c.Ledger = ledger
	return &Learner{conn: c, Failed: func(error) {}, sets: map[string]*set{}, kick: make(chan struct{}, 1),
		bound: make(chan struct{}, 1)}, nil
}

// Conn is the connection that sets are changed by.
func (l *Learner) Conn() *nft.Conn { return l.conn }

// Listen binds a queue, or what is left of the ways if the kernel lacks one or another program has
// it, and returns the way. What is bound is given back when there is nothing to learn any more. It
// has to be called in the network namespace that it works in. Packets of a queue that is given back
// are lost.
func (l *Learner) Listen(number uint16, queue, log bool, best plan.Tap) (way plan.Tap, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bound := l.next
	if number == l.queue && bound != nil && (bound.Holds() || !queue) {
		return l.way, l.reason
	}
	var reasons []error
	if queue {
		n, err := tap.OpenQueue(number)
		if err == nil {
			l.replace(n, best, "", number)
			return l.way, ""
		}
		reasons = append(reasons, err)
	} else {
		reasons = append(reasons, errors.New(NoQueue))
	}
	if number == l.queue && bound != nil {
		return l.way, l.reason // by the log group, as before
	}
	if log {
		n, err := tap.OpenLog(number)
		if err == nil {
			l.replace(n, plan.TapLog, errors.Join(reasons...).Error(), number)
			return l.way, l.reason
		}
		reasons = append(reasons, err)
	} else {
		reasons = append(reasons, errors.New(NoLog))
	}
	l.replace(nil, plan.TapNone, joined(reasons), number)
	return l.way, l.reason
}

func joined(errs []error) (s string) {
	for i, err := range errs {
		if i > 0 {
			s += ", and "
		}
		s += err.Error()
	}
	return s
}

// replace has Run read from another listener. Run closes the one that it reads from.
func (l *Learner) replace(n *tap.Listener, way plan.Tap, reason string, number uint16) {
	if l.next != nil && l.next != l.listener {
		_ = l.next.Close()
	}
	l.next, l.way, l.reason, l.queue = n, way, reason, number
	select {
	case l.bound <- struct{}{}:
	default:
	}
}

// idle reports whether there is nothing to learn, nor to learn from.
func (l *Learner) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sets) == 0 && l.next == nil && l.listener == nil
}

// Configure says what is learned from now on: the sets are in the kernel. Members that a set has
// there, or that are among kept by their set's name, are known with their names.
func (l *Learner) Configure(c Config, kept map[string][]book.Member) {
	t := &topic{Config: c}
	var names [][]string
	sets := map[string]*set{}
	for i := range c.Lists {
		list := &c.Lists[i]
		names = append(names, list.Names)
		var both [2]*set
		for j, family := range plan.Families {
			both[j] = l.setOf(sets, list, family, kept)
		}
		t.sets = append(t.sets, both)
	}
	t.names = answer.NewNames(names)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topic != nil {
		t.own = l.topic.own
	}
	for i := range c.Lists {
		for _, s := range t.sets[i] {
			s.book.Resize(c.Lists[i].Size)
			s.stay = c.Lists[i].Timeout
		}
	}
	for name, s := range sets {
		if from := l.sets[name]; from != nil && from != s {
			s.inherit(from, time.Now())
		}
	}
	l.topic, l.sets = t, sets
	if len(c.Lists) == 0 {
		l.replace(nil, plan.TapNone, "", 0)
	}
	l.wake()
}

// setOf returns the set of a list and an IP version, with what is known of it.
func (l *Learner) setOf(sets map[string]*set, list *List, family plan.Family, kept map[string][]book.Member) *set {
	p := &plan.Set{Name: plan.ListSet(list.Name, family), Type: family.AddrType(), RunTime: true, Interval: list.Interval}
	if s := sets[p.Name]; s != nil {
		return s
	}
	l.mu.Lock()
	s := l.sets[p.Name]
	l.mu.Unlock()
	if s == nil || s.plan.Interval != p.Interval {
		s = &set{plan: p, book: book.New(list.Size)}
		s.book.Set(kept[p.Name])
		if err := l.look(s); err != nil && !errors.Is(err, unix.ENOENT) {
			l.fail(fmt.Errorf("reading what is in set %s: %w", p.Name, err))
		}
	}
	sets[p.Name] = s
	return s
}

// Own says what the machine's own addresses are.
func (l *Learner) Own(addrs map[netip.Addr]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := topic{}
	if l.topic != nil {
		t = *l.topic
	}
	t.own = addrs
	l.topic = &t
}

// Members returns what is known of a set's members; ok is false if it is not one of those that are
// filled.
func (l *Learner) Members(name string, now time.Time) (list []book.Member, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sets[name]
	if s == nil {
		return nil, false
	}
	return s.book.Members(now), true
}

// Taught is how many times an address became a member, or stays longer.
func (l *Learner) Taught() uint64 { return l.taught.Load() }

// Answers returns what was read of answers to others.
func (l *Learner) Answers() Answers {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers
}

// Run learns until ctx ends. In the end what waits is let go.
func (l *Learner) Run(ctx context.Context) {
	var working sync.WaitGroup
	working.Add(1)
	committing, stop := context.WithCancel(context.Background())
	go func() { defer working.Done(); l.commitAll(committing) }()
	r := reader{l: l, streams: answer.NewStreams(), timer: time.NewTimer(0)}
	for ctx.Err() == nil {
		l.seen.Store(time.Now().UnixNano())
		r.turn(ctx)
	}
	stop()
	working.Wait()
	l.silence()
	r.end()
	l.using.Lock()
	defer l.using.Unlock()
	_ = l.conn.Close()
}

// wake has the committer look for work.
func (l *Learner) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// fail tells of a failure, once.
func (l *Learner) fail(err error) {
	l.telling.Lock()
	defer l.telling.Unlock()
	if text := err.Error(); text != l.failed {
		l.failed = text
		l.Failed(err)
	}
}

// well has the next failure told of.
func (l *Learner) well() {
	l.telling.Lock()
	defer l.telling.Unlock()
	l.failed = ""
}

// look compares what is known of a set with what the kernel has.
func (l *Learner) look(s *set) error {
	got, err := l.readMembers(s.plan)
	if err != nil {
		return err
	}
	now := time.Now()
	var members []book.Member
	for _, m := range got {
		b := book.Member{Addr: m.From}
		if m.Timeout > 0 {
			b.End = now.Add(m.Expires)
		}
		members = append(members, b)
	}
	s.book.Set(members)
	return nil
}

// readMembers, edit and beat use the connection, one at a time.
func (l *Learner) readMembers(set *plan.Set) ([]nft.Member, error) {
	l.using.Lock()
	defer l.using.Unlock()
	return l.conn.Members(set)
}

func (l *Learner) edit(edits []nft.Edit) error {
	l.using.Lock()
	defer l.using.Unlock()
	return l.conn.EditSets(edits)
}

func (l *Learner) beat(there bool) error {
	l.using.Lock()
	defer l.using.Unlock()
	return l.conn.Beat(there, aliveFor)
}

// pendingEdits takes what is to be changed; the lock is held.
func (l *Learner) pendingEdits() (edits []nft.Edit, touched []*set) {
	for _, name := range slices.Sorted(maps.Keys(l.sets)) {
		s := l.sets[name]
		if len(s.pending) == 0 {
			continue
		}
		e := nft.Edit{Set: s.plan}
		for addr, c := range s.pending {
			m := nft.Member{From: addr, To: addr, Timeout: c.life}
			if c.remove {
				e.Remove = append(e.Remove, m)
			}
			if c.add {
				e.Add = append(e.Add, m)
			}
		}
		s.pending = nil
		edits, touched = append(edits, e), append(touched, s)
	}
	return edits, touched
}
