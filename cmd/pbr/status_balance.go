package main

import (
	"slices"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/kernel"
)

// balanceStatus is a balance with its members.
type balanceStatus struct {
	Name    string         `json:"name"`
	Comment string         `json:"comment,omitempty"`
	Members []memberStatus `json:"members"`
	// Sticky reports whether clients keep their member; Clients is how many are remembered, and
	// Full how many packets found no room for their client: both nil where it does not.
	Sticky  bool    `json:"sticky"`
	Clients *int    `json:"clients,omitempty"`
	Full    *uint64 `json:"full,omitempty"`
}

// memberStatus is an uplink or a table that a balance chooses.
type memberStatus struct {
	Name   string `json:"name"`
	Weight int    `json:"weight"`
	// Usable has the families, 4 and 6, whose new connections it takes.
	Usable []int `json:"living"`
	// Clients is nil where the balance is not sticky.
	Clients *int `json:"clients,omitempty"`
}

// readBalances reads which members take connections, and what clients are remembered.
func readBalances(o *daemon.Outline, live *plan.Plan, k *kernel.Kernel, packets map[string]uint64) ([]balanceStatus, error) {
	list := make([]balanceStatus, 0, len(o.Balances))
	for _, b := range o.Balances {
		s := balanceStatus{Name: b.Name, Comment: o.Comments["balance "+b.Name], Sticky: b.Sticky, Members: []memberStatus{}}
		var clients map[uint32]int
		if b.Sticky {
			var err error
			if clients, err = readClients(b.Name, k); err != nil {
				return nil, err
			}
			all, full := 0, packets[compiler.FullCounter(b.Name)]
			for _, n := range clients {
				all += n
			}
			s.Clients, s.Full = &all, &full
		}
		for _, m := range b.Members {
			member := memberStatus{Name: m.Name, Weight: m.Weight, Usable: usableFamilies(live, &b, m.Mark)}
			if b.Sticky {
				n := clients[m.Mark]
				member.Clients = &n
			}
			s.Members = append(s.Members, member)
		}
		list = append(list, s)
	}
	return list, nil
}

// readClients counts a balance's clients of both families by their member's mark.
func readClients(balance string, k *kernel.Kernel) (map[uint32]int, error) {
	all := map[uint32]int{}
	for _, family := range plan.Families {
		clients, err := k.Clients(compiler.ClientsMap(balance, family))
		if err != nil {
			return nil, err
		}
		for mark, n := range clients {
			all[mark] += n
		}
	}
	return all, nil
}

// usableFamilies returns the families in which a member is usable.
func usableFamilies(live *plan.Plan, b *daemon.OutlineBalance, mark uint32) []int {
	families := []int{}
	key := plan.KeyFromUint32(mark)
	for _, family := range plan.Families {
		name := compiler.UsableMembersSet(b.Name, b.Strict, family)
		if slices.ContainsFunc(live.Ruleset.Sets, func(s plan.Set) bool {
			return s.Name == name && slices.ContainsFunc(s.Elements, func(e plan.Element) bool { return e.From == key })
		}) {
			families = append(families, int(family))
		}
	}
	return families
}
