package main

import (
	"bufio"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/compiler/explain"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
	"pbr/kernel"
	"pbr/kernel/conntrack"
)

func (c command) connectionsCommand() *cli.Command {
	return &cli.Command{
		Name:      "connections",
		Usage:     "list connections with their uplink and policy, follow them, or flush them",
		ArgsUsage: " ",
		Description: "Lists the tracked connections, with the uplink that carries each, and the\n" +
			"policy that would catch a new one of the same addresses and ports. \"now\"\n" +
			"follows the policy if a new connection would not get this uplink, or if the\n" +
			"policy is newer than the connection: then another policy may have decided.\n" +
			"--flush deletes exactly the listed connections from connection tracking,\n" +
			"after a question; their next packet starts a new one. Bytes are shown where\n" +
			"the kernel counts them (sysctl net.netfilter.nf_conntrack_acct).",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "uplink", Usage: "only connections of this `UPLINK`"},
			&cli.StringFlag{Name: "src", Usage: "only connections opened by this `ADDRESS` or network"},
			&cli.StringFlag{Name: "policy", Usage: "only connections that this `POLICY` catches"},
			&cli.BoolFlag{Name: "follow", Usage: "show connections as they begin and end"},
			&cli.BoolFlag{Name: "flush", Usage: "flush the listed connections"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask before --flush"},
			jsonFlag(),
		},
		Action: c.runConnections,
	}
}

// connectionFilter selects connections; zero fields select all.
type connectionFilter struct {
	uplink, policy string
	src            netip.Prefix
}

func (f *connectionFilter) matches(e *connectionEntry) bool {
	return (f.uplink == "" || e.carried.Uplink == f.uplink) &&
		(f.policy == "" || e.carried.By.Kind == explain.ByPolicy && e.carried.By.Name == f.policy)
}

// opens reports whether a connection's opener is one of those asked for.
func (f *connectionFilter) opens(flow *conntrack.Flow) bool {
	return !f.src.IsValid() || f.src.Contains(flow.Orig.Src)
}

// connectionEntry is a connection with what carries it.
type connectionEntry struct {
	flow    *conntrack.Flow
	carried explain.Carried
	// now means that another policy than the named one may have decided.
	now bool
}

func (c command) runConnections(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	if ctx.Bool("follow") && ctx.Bool("flush") || ctx.Bool("yes") && !ctx.Bool("flush") {
		return usageError("--flush and --follow exclude each other, and --yes needs --flush")
	}
	return withKernel(func(k *kernel.Kernel) error {
		f, err := c.loadShown(ctx, k)
		if err != nil {
			return err
		}
		filter, err := readConnectionFilter(ctx, f.doc)
		if err != nil {
			return err
		}
		v, err := c.openConnectionView(ctx, k, f, filter)
		if err != nil {
			return err
		}
		if ctx.Bool("follow") {
			return c.followConnections(ctx, v)
		}
		return c.listConnections(ctx, v)
	})
}

// readConnectionFilter checks what the options name.
func readConnectionFilter(ctx *cli.Context, doc *policy.Document) (*connectionFilter, error) {
	f := &connectionFilter{uplink: ctx.String("uplink"), policy: ctx.String("policy")}
	if f.uplink != "" && !slices.Contains(uplinkNames(doc), f.uplink) {
		return nil, fmt.Errorf("--uplink: there is no uplink %q: %s", f.uplink, policy.Suggest(f.uplink, uplinkNames(doc)))
	}
	if f.policy != "" && !slices.Contains(policyNames(doc), f.policy) {
		return nil, fmt.Errorf("--policy: there is no policy %q: %s", f.policy, policy.Suggest(f.policy, policyNames(doc)))
	}
	text := ctx.String("src")
	if text == "" {
		return f, nil
	}
	var err error
	if f.src, err = readPrefix(text); err != nil {
		return nil, fmt.Errorf("--src: invalid address %q: write 192.168.10.50 or 192.168.10.0/24", text)
	}
	return f, nil
}

// readPrefix reads an address, or a network.
func readPrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// connectionView explains connections by what kernel and watch have.
type connectionView struct {
	command
	*connectionFilter
	kernel    *kernel.Kernel
	explainer *explain.Explainer
	applied   *applied.InForce
	// reload reads the policy file again.
	reload func() (*policyFile, error)
}

// openConnectionView explains by a policy file as it was read, until refresh reads it again.
func (c command) openConnectionView(ctx *cli.Context, k *kernel.Kernel, f *policyFile, filter *connectionFilter) (*connectionView, error) {
	v := &connectionView{connectionFilter: filter, kernel: k, command: c}
	v.reload = func() (*policyFile, error) { return loadOrHeld(ctx, k) }
	err := v.explainBy(f)
	if err == nil {
		for _, note := range v.explainer.Notes() {
			fmt.Fprintf(c.stderr, "pbr: %s\n", note)
		}
	}
	return v, err
}

// refresh reads policy, kernel and health again.
func (v *connectionView) refresh() error {
	f, err := v.reload()
	if err != nil {
		return err
	}
	return v.explainBy(f)
}

// explainBy reads kernel and health again, for a policy file.
func (v *connectionView) explainBy(f *policyFile) error {
	x, err := v.liveExplainer(f, v.kernel)
	if err != nil {
		return err
	}
	v.explainer, v.applied = x, inForceNow(v.kernel)
	return nil
}

// list lists the connections that the filter selects, sorted by addresses.
func (v *connectionView) list() ([]connectionEntry, error) {
	flows, err := v.kernel.Flows()
	if err != nil {
		return nil, err
	}
	var list []connectionEntry
	for i := range flows {
		if e, selected := v.entry(&flows[i]); selected {
			list = append(list, e)
		}
	}
	sorting.Func(list, func(a, b connectionEntry) int { return compareTuples(&a.flow.Orig, &b.flow.Orig) })
	return list, nil
}

// entry explains a connection, if the filter selects it.
func (v *connectionView) entry(flow *conntrack.Flow) (e connectionEntry, selected bool) {
	if !v.opens(flow) || !flow.Orig.Src.IsValid() || !flow.Reply.Dst.IsValid() {
		return e, false
	}
	c := connectionOf(flow)
	e = connectionEntry{flow: flow, carried: v.explainer.Carried(&c)}
	switch decided := e.carried.By.Kind; {
	case decided != explain.ByPolicy && decided != explain.ByRule && decided != explain.ByDefault:
	case flow.Started.IsZero() || v.applied == nil:
		e.now = e.carried.Differs
	default:
		e.now = flow.Started.Before(v.applied.At)
	}
	return e, v.matches(&e)
}

// compareTuples orders by source, destination, protocol and ports.
func compareTuples(a, b *conntrack.Tuple) int {
	return cmp.Or(a.Src.Compare(b.Src), a.Dst.Compare(b.Dst), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.DPort, b.DPort),
		cmp.Compare(a.SPort, b.SPort))
}

// listConnections shows connections, and flushes them if that is asked for.
func (c command) listConnections(ctx *cli.Context, v *connectionView) error {
	list, err := v.list()
	if err != nil {
		return err
	}
	if ctx.Bool("json") && !ctx.Bool("flush") {
		return printJSON(c.stdout, connectionsResult{Connections: connectionItems(list)})
	}
	if !ctx.Bool("json") {
		writeConnections(c.stdout, list)
	}
	if !ctx.Bool("flush") {
		return nil
	}
	n, err := c.flushConnections(ctx, v, list)
	if err == nil && ctx.Bool("json") {
		return printJSON(c.stdout, connectionsResult{connectionItems(list), &n})
	}
	return err
}

// flushConnections deletes connections, after a question.
func (c command) flushConnections(ctx *cli.Context, v *connectionView, list []connectionEntry) (int, error) {
	if len(list) > 0 && !ctx.Bool("yes") && !c.agreed(fmt.Sprintf("flush %s?", count(len(list), "connection"))) {
		return 0, fmt.Errorf("nothing was flushed: answer y, or add --yes")
	}
	flows := make([]conntrack.Flow, len(list))
	for i := range list {
		flows[i] = *list[i].flow
	}
	n, err := v.kernel.RemoveFlows(flows)
	fmt.Fprintf(c.stderr, "pbr: flushed %s\n", count(n, "connection"))
	return n, err
}

// agreed asks a question on standard error, and reports whether the answer on standard input is
// yes.
func (c command) agreed(question string) bool {
	fmt.Fprintf(c.stderr, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(c.stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
