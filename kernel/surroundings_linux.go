package kernel

import (
	"slices"
	"sync"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/kernel/facts"
	"pbr/kernel/route"
)

// Surroundings reads what the namespace has beside the objects of a live plan: what an evaluator of packets needs to know. It changes nothing. Its Hop asks k, which
// must stay open.
func (k *Kernel) Surroundings(have *plan.Plan) (*walk.Facts, error) {
	f := &walk.Facts{Known: true, Clients: map[string]map[plan.Key]uint32{}}
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
		if s := &have.Ruleset.Sets[i]; s.Dynamic && s.Map {
			if f.Clients[s.Name], err = k.nft.Members(s.Name); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// chooser returns what answers for the kernel's choice among next hops. Only IPv4's hash over addresses is known from outside: over ports the kernel may take
// the network card's hash instead, and IPv6 hashes flow labels, which senders make up.
func (k *Kernel) chooser(rules []plan.Rule) func(*plan.Route, *walk.Flow) int {
	if policy, err := route.ReadSysctl("net/ipv4/fib_multipath_hash_policy"); err != nil || policy != "0" {
		return nil
	}
	for _, r := range rules {
		if r.Family == plan.IPv4 && (r.Proto != 0 || r.TOS != 0 || r.DSCP != 0 || r.SPort != plan.PortRange{} || r.DPort != plan.PortRange{}) {
			return nil // the question to the kernel does not name these
		}
	}
	var mu sync.Mutex
	return func(r *plan.Route, f *walk.Flow) int {
		if r.Family != plan.IPv4 || !f.Src.IsValid() {
			return -1
		}
		mu.Lock()
		defer mu.Unlock()
		dev, via, ok := k.route.NextHop(f)
		if !ok {
			return -1
		}
		return slices.IndexFunc(r.Hops, func(h plan.Hop) bool { return h.Dev == dev && h.Via == via })
	}
}

// alreadyThere reports whether a live plan has the rule already.
func alreadyThere(have *plan.Plan, r plan.Rule) bool {
	return r.Protocol == plan.Protocol || plan.InSpan(have.BasePriority, r.Priority)
}

// Dropping reads the base chains of others whose policy is drop.
func (k *Kernel) Dropping() ([]facts.DropChain, error) { return k.nft.Dropping() }
