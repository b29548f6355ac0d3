package kernel

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/kernel/facts"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// Surroundings reads what the namespace has besides the objects of a live plan, as far as an
// evaluator of packets needs it. It changes nothing. Its Hop uses k, which must stay open.
func (k *Kernel) Surroundings(have *plan.Plan) (*walk.Facts, error) {
	f := &walk.Facts{Known: true, Clients: map[string]map[plan.Key]walk.Client{}, Members: map[string][]plan.Element{}}
	var err error
	if f.Links, err = k.route.Links(); err != nil {
		return nil, err
	}
	rules, err := k.route.AllRules()
	if err != nil {
		return nil, err
	}
	others := plan.Plan{Rules: slices.DeleteFunc(rules, func(r plan.Rule) bool { return alreadyThere(have, r) })}
	if others.Routes, err = k.route.OthersRoutes(others.Rules); err != nil {
		return nil, err
	}
	plan.Normalize(&others)
	f.Rules, f.Routes = others.Rules, others.Routes
	f.Hop = k.chooser(slices.Concat(have.Rules, f.Rules))
	for i := range have.Ruleset.Sets {
		s := &have.Ruleset.Sets[i]
		if _, _, list := plan.ListOf(s.Name); list && s.RunTime {
			members, there, err := k.Members(s)
			if err != nil {
				return nil, err
			}
			if there {
				f.Members[s.Name] = elementsOf(members)
			}
		}
		if s.Dynamic && s.Map {
			if f.Clients[s.Name], err = k.nft.MapElements(s.Name); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// chooser returns what answers for the kernel's choice among next hops; nil if that is
// unpredictable. Only IPv4's hash over addresses is predictable: for ports the kernel may use the
// network card's hash, and IPv6 hashes flow labels, which senders invent.
func (k *Kernel) chooser(rules []plan.Rule) func(*plan.Route, *walk.Flow) int {
	if policy, err := route.ReadSysctl("net/ipv4/fib_multipath_hash_policy"); err != nil || policy != "0" {
		return nil
	}
	if slices.ContainsFunc(rules, func(r plan.Rule) bool { return r.Family == plan.IPv4 && (r.TOS != 0 || r.DSCP != 0 || r.HasUID) }) {
		return nil // -- a route request has no field for these
	}
	byProto := slices.ContainsFunc(rules, func(r plan.Rule) bool { return r.Family == plan.IPv4 && r.Proto != 0 })
	var mu sync.Mutex
	return func(r *plan.Route, f *walk.Flow) int {
		q := question(f)
		if r.Family != plan.IPv4 || !f.Src.IsValid() || byProto && q.Proto == 0 {
			return -1
		}
		mu.Lock()
		defer mu.Unlock()
		way, err := k.route.Way(q)
		if err != nil {
			return -1
		}
		return slices.IndexFunc(r.Hops, func(h plan.Hop) bool { return h.Dev == way.Dev })
	}
}

// question is a flow in a route request. The kernel accepts few protocols there: Proto is 0 for
// others.
func question(f *walk.Flow) route.Query {
	q := route.Query{Src: f.Src, Dst: f.Dst, Mark: f.Mark}
	if f.IIF != "lo" {
		q.IIF = f.IIF
	}
	switch f.Proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		q.Proto, q.SPort, q.DPort = f.Proto, f.SPort, f.DPort
	}
	return q
}

// alreadyThere reports whether a live plan already has the rule.
func alreadyThere(have *plan.Plan, r plan.Rule) bool {
	return r.Protocol == plan.Protocol || plan.InSpan(have.BasePriority, r.Priority)
}

// Dropping reads the base chains of others whose policy is drop.
func (k *Kernel) Dropping() ([]facts.DropChain, error) { return k.nft.Dropping() }

// DestinationNAT reads which rules of others translate destinations.
func (k *Kernel) DestinationNAT() ([]facts.DestinationNAT, error) {
	return k.nft.DestinationNAT(k.route.LinkName)
}

// elementsOf returns members as elements.
func elementsOf(members []nft.Member) []plan.Element {
	elements := make([]plan.Element, len(members))
	for i, m := range members {
		elements[i] = plan.Element{From: plan.KeyFromAddr(m.From), To: plan.KeyFromAddr(m.To)}
	}
	return elements
}
