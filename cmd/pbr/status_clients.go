package main

import (
	"fmt"
	"slices"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
	"pbr/kernel"
	"pbr/kernel/facts"
)

// clientsResult is the JSON of status --clients.
type clientsResult struct {
	Balance string `json:"balance"`
	Sticky  bool   `json:"sticky"`
	// Clients are sorted by address.
	Clients []clientStatus `json:"clients"`
}

// clientStatus is a host that a balance remembers.
type clientStatus struct {
	Family  int    `json:"family"`
	Address string `json:"address"`
	// Member is null where the map has a member that the balance has no more.
	Member *string `json:"member"`
	// Expires is after how many seconds it is forgotten, unless a new connection comes.
	Expires float64 `json:"expires_s"`
}

// showClients lists who is at which member of a balance.
func (c command) showClients(ctx *cli.Context, k *kernel.Kernel, name string) error {
	if ctx.Bool("watch") {
		return usageError("--clients and --watch exclude each other")
	}
	s := &statusResult{Uplinks: []uplinkStatus{}}
	report, err := runningWatch(k)
	if err != nil {
		return err
	}
	var o daemon.Outline
	if report != nil {
		o = report.Outline
	} else if o, err = c.statusAlone(ctx, k, s); err != nil {
		return err
	}
	at := slices.IndexFunc(o.Balances, func(b daemon.OutlineBalance) bool { return b.Name == name })
	if at < 0 {
		return unknownBalance(&o, name)
	}
	res, err := readClientsResult(k, &o.Balances[at])
	if err != nil {
		return err
	}
	if ctx.Bool("json") {
		return printJSON(c.stdout, res)
	}
	c.writeClients(res)
	return nil
}

func unknownBalance(o *daemon.Outline, name string) error {
	var names []string
	for _, b := range o.Balances {
		names = append(names, b.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("--clients: there is no balance %q: no policy uses any", name)
	}
	return fmt.Errorf("--clients: there is no balance %q that a policy uses: %s", name, policy.Suggest(name, names))
}

func readClientsResult(k *kernel.Kernel, b *daemon.OutlineBalance) (*clientsResult, error) {
	res := &clientsResult{Balance: b.Name, Sticky: b.Sticky, Clients: []clientStatus{}}
	if !b.Sticky {
		return res, nil
	}
	members := map[uint32]string{}
	for _, m := range b.Members {
		members[m.Mark] = m.Name
	}
	for _, family := range plan.Families {
		clients, err := k.Remembered(compiler.ClientsMap(b.Name, family))
		if err != nil {
			return nil, err
		}
		sorting.Func(clients, func(a, b facts.Client) int { return a.Addr.Compare(b.Addr) })
		for _, c := range clients {
			res.Clients = append(res.Clients, clientStatus{int(family), c.Addr.String(), named(members[c.Mark]), c.Expires.Seconds()})
		}
	}
	return res, nil
}

func (c command) writeClients(res *clientsResult) {
	if !res.Sticky {
		fmt.Fprintf(c.stdout, "balance %s is not sticky: it remembers no clients\n", res.Balance)
		return
	}
	rows := [][]string{{"CLIENT", "MEMBER", "EXPIRES IN"}}
	for _, r := range res.Clients {
		member := "-"
		if r.Member != nil {
			member = *r.Member
		}
		rows = append(rows, []string{r.Address, member, span(time.Duration(r.Expires * float64(time.Second)))})
	}
	writeRows(c.stdout, rows, func(int, int) string { return "" })
}
