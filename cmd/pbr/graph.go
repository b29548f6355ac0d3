//go:build !small

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
	"pbr/kernel"
	"pbr/render/graph"
)

// graphFormats are the values of graph --format.
var graphFormats = map[string]func(io.Writer, *graph.Graph) error{
	"text": graph.Text,
	"dot":  graph.Dot,
	"svg":  func(w io.Writer, g *graph.Graph) error { return graph.SVG(w, g, graph.Style{Standalone: true}) },
}

func (c command) runGraph(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	draw := graphFormats[ctx.String("format")]
	if draw == nil {
		return usageError("there is no format %q: use svg, dot or text", ctx.String("format"))
	}
	if ctx.Bool("json") {
		if ctx.IsSet("format") {
			return usageError("--json and --format %s exclude each other", ctx.String("format"))
		}
		draw = func(w io.Writer, g *graph.Graph) error { return printJSON(w, g) }
	}
	if ctx.Bool("offline") || os.Geteuid() != 0 {
		f, err := c.loadValid(ctx)
		if err != nil {
			return err
		}
		return draw(c.stdout, graph.New(f.doc, nil))
	}
	return withKernel(func(k *kernel.Kernel) error {
		f, err := c.loadShown(ctx, k)
		if err != nil {
			return err
		}
		live, err := c.askForGraph(f, k)
		if errors.Is(err, fs.ErrPermission) { // root of a container, without CAP_NET_ADMIN
			fmt.Fprintf(c.stderr, "pbr: warning: %v: drawing the policy alone\n", err)
			live, err = nil, nil
		}
		if err != nil {
			return err
		}
		return draw(c.stdout, graph.New(f.doc, live))
	})
}

// askForGraph returns the facts of kernel and watch.
func (c command) askForGraph(f *policyFile, k *kernel.Kernel) (*graph.Live, error) {
	now, err := c.readSituation(f.doc, k)
	if err != nil {
		return nil, err
	}
	want, problems := compiler.Compile(f.doc, now.host, now.down())
	if want == nil {
		return nil, c.report(f, problems)
	}
	sync, err := k.Compare(want)
	if err != nil {
		return nil, err
	}
	if sync == kernel.NotApplied {
		fmt.Fprintln(c.stderr, "pbr: the policy is not applied: drawing the policy alone")
		return nil, nil
	}
	outline, lines := daemon.NewOutline(f.doc, want), now.lines(f.doc)
	if now.watch != nil {
		lines = now.watch.Uplinks
	}
	s := &statusResult{Uplinks: uplinkStatuses(lines, &outline)}
	if err := s.readKernel(&outline, k); err != nil {
		return nil, err
	}
	return graphLive(s), nil
}

// graphLive takes from a status what a graph shows.
func graphLive(s *statusResult) *graph.Live {
	live := &graph.Live{Uplinks: map[string]graph.State{}, Members: map[[2]string]bool{}, Hits: map[string]uint64{},
		Problems: map[string]string{}, Instead: map[string]bool{}, Refused: map[string]bool{}}
	for _, u := range s.Uplinks {
		live.Uplinks[u.Name] = graph.State{Name: u.State, Usable: u.Usable, Why: whyUnusable(u)}
	}
	for _, t := range s.Tables {
		for _, a := range t.Active {
			live.Ways = append(live.Ways, graph.Way{Table: t.Name, Destination: a.Destination, Version: int(a.Family),
				Uplinks: a.Uplinks, Kept: a.Kept && len(a.Uplinks) > 0})
		}
	}
	for _, b := range s.Balances {
		for _, m := range b.Members {
			live.Members[[2]string{b.Name, m.Name}] = len(m.Usable) > 0
		}
	}
	for _, p := range s.Policies {
		if p.Hits != nil {
			live.Hits[p.Name] = *p.Hits
		}
		id := graph.PolicyID(p.Name)
		live.Problems[id] = p.Problem
		if p.elsewhere(s) {
			live.Refused[id], live.Instead[id] = p.Target.Strict, !p.Target.Strict
		}
	}
	for _, r := range s.Rules {
		live.Problems[graph.RuleID(r.Name)] = r.Problem
	}
	return live
}

// whyUnusable is the state of an uplink that is not usable, and what is wrong with it.
func whyUnusable(u uplinkStatus) string {
	if u.Usable || u.why == "" || u.State == string(healthcheck.ForcedDown) {
		return ""
	}
	return u.State + ": " + u.why
}

// elsewhere reports whether none of a policy's new connections can go to its target, an uplink or
// a balance.
func (p *steeringStatus) elsewhere(s *statusResult) bool {
	if p.Problem == "" {
		return false
	}
	switch p.Target.Kind {
	case "uplink":
		return !slices.ContainsFunc(plan.Families[:],
			func(f plan.Family) bool { return slices.Contains(p.Uplinks[versionKey(f)], p.Target.Name) })
	case "balance":
		at := slices.IndexFunc(s.Balances, func(b balanceStatus) bool { return b.Name == p.Target.Name })
		return at >= 0 && !slices.ContainsFunc(s.Balances[at].Members, func(m memberStatus) bool { return len(m.Usable) > 0 })
	}
	return false
}
