package walk

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// Router is a machine with a plan on it: what happens to a packet from the interface that it
// arrives by, or the socket that sends it, to the one that it leaves through. It never changes, and
// is for any number of goroutines.
type Router struct {
	fib     *fib
	hooks   map[string][]*chain
	walkers sync.Pool
}

// NewRouter makes a plan, wanted or live, ready for packets on a machine. It fails as New does.
func NewRouter(p *plan.Plan, facts *Facts) (*Router, error) {
	e, err := New(&p.Ruleset)
	if err != nil {
		return nil, err
	}
	r := &Router{fib: newFib(p, facts), hooks: map[string][]*chain{}}
	for i := range p.Ruleset.Chains {
		if c := e.chains[p.Ruleset.Chains[i].Name]; c.plan.Hook != "" {
			r.hooks[c.plan.Hook] = append(r.hooks[c.plan.Hook], c)
		}
	}
	for _, chains := range r.hooks {
		sorting.Func(chains, func(a, b *chain) int { return cmp.Compare(a.plan.Priority, b.plan.Priority) })
	}
	members, err := e.members(facts.Members)
	if err != nil {
		return nil, err
	}
	r.walkers.New = func() any {
		w := e.Walker()
		w.fib, w.choices, w.known, w.members = r.fib, &choices{}, facts.Clients, members
		return w
	}
	return r, nil
}

// Send returns the ways that a packet may take: one, or several where turn, chance or a hash that
// is not to be known decides. The packet's CTState, CTStatus and CTMark say what its connection is
// so far; Dst is what is on the wire.
func (r *Router) Send(p *Packet) []Way { return r.all(trip{Packet: *p}) }

// First is Send for the first packet of a connection.
func (r *Router) First(p *Packet) []Way {
	first := *p
	first.CTState, first.CTStatus, first.CTMark = StateNew, 0, 0
	return r.Send(&first)
}

// Next returns the ways of a later packet, in the same direction, of the connection that first
// began and that took a way.
func (r *Router) Next(first *Packet, way *Way) []Way {
	t := trip{Packet: *first, bound: way}
	t.CTState, t.CTStatus, t.CTMark = StateEstablished, StatusConfirmed, way.CTMark
	if first.IIF == "" {
		t.Src = way.Sender
	}
	return r.all(t)
}

// Answer returns the ways of the answer to a packet that took a way: it comes back by the interface
// that the packet left through, or from the router itself.
func (r *Router) Answer(first *Packet, way *Way) []Way {
	t := trip{Packet: Packet{Src: first.Dst, Dst: way.Src, Proto: first.Proto, SPort: first.DPort, DPort: first.SPort,
		ICMPType: first.ICMPType, NoPorts: first.NoPorts, DSCP: first.DSCP, Reply: !first.Reply}, onward: way.Sender}
	t.CTState, t.CTStatus, t.CTMark = StateEstablished, StatusConfirmed, way.CTMark
	if way.Fate == Forwarded {
		t.IIF = cmp.Or(way.Dev, somewhere)
	} else {
		t.Dst = way.Sender
	}
	t.bound = &Way{Src: t.Src}
	return r.all(t)
}

// To returns the interface behind which main and others' rules have an address; local reports that
// it is the router's own.
func (r *Router) To(a netip.Addr) (dev string, local bool) {
	to := r.fib.lookUp(&Flow{Dst: a, IIF: loopback})
	if to.kind == kindLocal {
		return "", true
	}
	if len(to.hops) == 0 {
		return "", false
	}
	return to.hops[0].Dev, false
}

// IsBroadcast reports whether an address is one of broadcasts here.
func (r *Router) IsBroadcast(a netip.Addr) bool { return r.fib.kind(a) == kindBroadcast }

// somewhere stands for the interface that main, which is not known, leads to. No interface has such
// a name.
const somewhere = "/"

// trip is one packet on its way.
type trip struct {
	Packet
	// onward is the destination once connection tracking has undone the translation of the first
	// packet's source.
	onward netip.Addr
	// bound is the way of the connection's first packet, whose translation continues; nil for a
	// first packet.
	bound *Way
}

func (t *trip) flow() Flow {
	f := Flow{Src: t.Src, Dst: t.Dst, IIF: t.IIF, Mark: t.Mark, Proto: t.Proto, DSCP: t.DSCP}
	if t.IIF == "" {
		f.IIF, f.UID = loopback, t.UID
	}
	if hasPorts(t.Proto) && !t.NoPorts {
		f.SPort, f.DPort = t.SPort, t.DPort
	}
	return f
}

// hasPorts reports whether a protocol has ports where rules look for them (TCP, UDP, DCCP, SCTP,
// UDP-Lite).
func hasPorts(proto uint8) bool {
	switch proto {
	case 6, 17, 33, 132, 136:
		return true
	}
	return false
}

// all takes every way that choices lead to.
func (r *Router) all(t trip) []Way {
	w := r.walkers.Get().(*Walker)
	defer r.walkers.Put(w)
	w.choices.picked, w.choices.of = w.choices.picked[:0], w.choices.of[:0]
	ways := make([]Way, 0, 1)
	for range maxWalks {
		w.choices.start()
		w.restart()
		way := Way{Mark: t.Mark, CTMark: t.CTMark, Sender: t.Src, Src: t.Src}
		once := t
		if t.IIF == "" {
			r.fromSocket(w, &once, &way)
		} else {
			r.arrives(w, &once, &way)
		}
		way.Unknown = w.unknown
		if !slices.ContainsFunc(ways, func(o Way) bool { return o.same(&way) }) {
			ways = append(ways, way)
		}
		if !w.choices.next() {
			break
		}
	}
	return ways
}

// hook takes the packet through the chains of a hook, and reports whether none drops it. Source NAT
// is the first packet's; where that is not known it is what one would get now.
func (r *Router) hook(w *Walker, name string, t *trip, way *Way) (ok bool) {
	for _, c := range r.hooks[name] {
		if c.plan.Kind == "nat" && (t.bound != nil || !t.tracked()) {
			continue
		}
		w.packet, w.tracing, w.six = &t.Packet, false, t.Src.Is6()
		w.src, w.dst = address(t.Src), address(t.Dst)
		w.result = Result{Mark: t.Mark, CTMark: t.CTMark, Counters: w.result.Counters[:0]}
		w.walk(c)
		res := &w.result
		t.Mark, t.CTMark = res.Mark, res.CTMark
		way.Counters = append(way.Counters, res.Counters...)
		way.Offloaded = way.Offloaded || res.Offloaded
		if name == "prerouting" || name == "output" {
			way.In = res.In
		}
		switch {
		case res.Verdict == Dropped:
			way.Fate, way.In = Discarded, res.In
			return false
		case res.Masquerade:
			way.NAT, way.Src = Masqueraded, r.fib.address(way.Dev, way.Via, t.Dst)
		case res.SNAT.IsValid():
			way.NAT, way.Src = Static, res.SNAT
		}
	}
	return true
}

// arrives is the way of a packet that the router receives.
func (r *Router) arrives(w *Walker, t *trip, way *Way) {
	if !r.hook(w, "prerouting", t, way) {
		way.CTMark = t.CTMark
		return
	}
	way.Mark, way.CTMark = t.Mark, t.CTMark
	if t.onward.IsValid() {
		t.Dst = t.onward
	}
	if check := r.fib.martian(t); check != "" {
		way.Fate, way.In = Discarded, check
		return
	}
	flow := t.flow()
	to := r.fib.lookUp(&flow)
	way.take(to)
	switch {
	case way.Fate != Forwarded && way.Fate != Delivered:
	case way.Fate == Delivered:
		if r.sourceFits(t, "", way) && r.hook(w, "input", t, way) {
			way.CTMark = t.CTMark
		}
	default:
		way.leave(r.hop(w, t, to, &flow))
		if !r.sourceFits(t, way.Dev, way) {
			return
		}
		if fate, stays := staysHere(t); stays {
			way.Fate, way.In = fate, SourceCheckFailed
			return
		}
		r.leaves(w, t, way)
	}
}

// sourceFits reports whether the source passes the kernel's own check.
func (r *Router) sourceFits(t *trip, oif string, way *Way) bool {
	if r.fib.validSource(t, oif) {
		return true
	}
	way.Fate, way.In = Discarded, SourceCheckFailed
	return false
}

// leaves is the rest of the way of a packet whose interface is found.
func (r *Router) leaves(w *Walker, t *trip, way *Way) {
	t.OIF = way.Dev
	if t.IIF != "" && !r.hook(w, "forward", t, way) {
		return
	}
	if t.bound != nil {
		way.NAT, way.Src = t.bound.NAT, t.bound.Src
	}
	r.hook(w, "postrouting", t, way)
	way.CTMark = t.CTMark
}

// fromSocket is the way of a packet of the router's own. Its sender asks for a route before there
// is a packet, and for an address if it has none.
func (r *Router) fromSocket(w *Walker, t *trip, way *Way) {
	if !r.route(w, t, way) {
		return
	}
	way.Sender, way.Src = t.Src, t.Src
	t.OIF = way.Dev
	mark := t.Mark
	if !r.hook(w, "output", t, way) {
		return
	}
	way.Mark, way.CTMark = t.Mark, t.CTMark
	if t.Mark != mark && way.Fate == Forwarded { // the chain is of kind "route": looked up again
		flow := t.flow()
		to := r.fib.lookUp(&flow)
		way.take(to)
		if way.Fate != Forwarded {
			return
		}
		way.leave(r.hop(w, t, to, &flow))
	}
	if way.Fate == Forwarded {
		r.leaves(w, t, way)
	}
}

// route is what a sender's look-up gives, and the address that it then has. For IPv4 the first
// look-up only gives the address; another one, with it, counts (ip_route_connect,
// net/ipv4/route.h).
func (r *Router) route(w *Walker, t *trip, way *Way) (ok bool) {
	flow := t.flow()
	to := r.fib.lookUp(&flow)
	if !t.Src.IsValid() && to.refused != 0 && t.Dst.Is6() {
		// Linux then takes one of the machine's addresses and asks once more (ip6_dst_lookup_tail,
		// net/ipv6/ip6_output.c).
		any := r.fib.sources6("", t.Dst)
		if len(any) == 0 {
			way.take(to)
			return false
		}
		t.Src = any[w.choices.pick(len(any))]
		flow.Src = t.Src
		to = r.fib.lookUp(&flow)
	}
	way.take(to)
	if way.Fate != Forwarded {
		return way.Fate == Delivered
	}
	way.leave(r.hop(w, t, to, &flow))
	if t.Src.IsValid() {
		return true
	}
	t.Src = r.fib.sender(to.route, way, t.Dst)
	if t.Dst.Is6() || !t.Src.IsValid() {
		return true
	}
	flow.Src = t.Src
	first := *way
	to = r.fib.lookUp(&flow)
	way.take(to)
	if way.Fate != Forwarded {
		return false
	}
	if way.leave(r.hop(w, t, to, &flow)); way.Dev == first.Dev {
		way.Rule, way.Route = first.Rule, first.Route // the one that decided
	}
	return true
}

// hop is the next hop that a flow takes.
func (r *Router) hop(w *Walker, t *trip, to found, flow *Flow) plan.Hop {
	switch len(to.hops) {
	case 0:
		return plan.Hop{} // by main, which is not known
	case 1:
		return to.hops[0]
	}
	if choose := r.fib.facts.Hop; choose != nil && len(to.hops) == len(to.route.Hops) {
		if i := choose(to.route, flow); i >= 0 {
			return to.hops[i]
		}
	}
	if i := t.asBefore(to); i >= 0 {
		return to.hops[i]
	}
	return to.hops[w.choices.pick(len(to.hops))]
}

// asBefore is the next hop that the hash of the same route gave the connection's first packet, or
// -1.
func (t *trip) asBefore(to found) int {
	if t.bound == nil || t.bound.Route == nil || !t.bound.Route.Equal(*to.route) {
		return -1
	}
	return slices.IndexFunc(to.hops, func(h plan.Hop) bool { return h.Dev == t.bound.Dev && h.Via == t.bound.Via })
}
