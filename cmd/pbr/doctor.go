package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
	"pbr/kernel"
	"pbr/kernel/doctor"
	"pbr/kernel/facts"
	"pbr/render"
)

// gatewayTimeout is how long a gateway may take to answer.
const gatewayTimeout = time.Second

func (c command) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "find what keeps the policy from working on this machine, and say what to do about it",
		ArgsUsage: " ",
		Description: "Checks kernel features (by trying each in a temporary network namespace),\n" +
			"settings, others' ip rules, marks and programs, the uplinks' interfaces,\n" +
			"addresses and gateways, and pbr's own state. It changes nothing; it only asks\n" +
			"the gateways for an answer. Without a policy file, or with a broken one, it\n" +
			"checks the rest. Exit status 1 if something fails; warnings do not change the\n" +
			"exit status.",
		Flags:  []cli.Flag{jsonFlag()},
		Action: c.runDoctor,
	}
}

// doctorResult is doctor's JSON.
type doctorResult struct {
	// Fit is true if nothing fails.
	Fit      bool             `json:"fit"`
	Findings []doctor.Finding `json:"findings"`
}

func (c command) runDoctor(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	s, f, err := examined(ctx, k)
	if err != nil {
		return err
	}
	findings := doctor.Examine(s, f)
	if ctx.Bool("json") {
		err = printJSON(c.stdout, doctorResult{Fit: !doctor.Failed(findings), Findings: findings})
	} else {
		err = render.Findings(c.stdout, findings, colour(c.stdout), columns(c.stdout))
	}
	if err == nil && doctor.Failed(findings) {
		return exitCode(exitError)
	}
	return err
}

// examined gathers the policy and the facts.
func examined(ctx *cli.Context, k *kernel.Kernel) (*doctor.Subject, *facts.Facts, error) {
	var unknown []facts.Unknown
	note := func(what string, err error) {
		if err != nil {
			unknown = append(unknown, facts.Unknown{What: what, Why: err.Error()})
		}
	}
	report, err := runningWatch(k)
	note("pbr watch", err)
	s, last, err := readSubject(ctx, k, report)
	if err != nil {
		return nil, nil, err
	}
	host, err := k.HostFacts(plan.Needs{})
	if err != nil {
		return nil, nil, err
	}
	f := k.Facts(s.SysctlPaths(host), s.Tables())
	f.Networkd, f.Flushers = doctor.ReadNetworkd(os.DirFS("/")), doctor.ReadFlushers(os.DirFS("/"))
	note("live state", readLive(k, s, f))
	statuses := last.Uplinks
	if report != nil {
		f.State.WatchPID, statuses = report.PID, report.Uplinks
	}
	f.Watched = watchedFacts(statuses, quotasOf(report, s.Doc, k))
	if s.Doc != nil {
		f.Fetched = fetchedFacts(k, s.Doc)
		f.Hook = hookFact(s.Doc)
		f.Gateways = askGateways(daemon.Configs(s.Doc, s.Want.Numbers, host))
	}
	if s.Doc != nil {
		f.Dnsmasq = dnsmasqFact(k, s.Doc)
		f.Names, err = namesFact(k, s.Doc, host, report)
		note("connections", err)
	}
	f.Unknown = append(f.Unknown, unknown...)
	return s, f, nil
}

// readSubject reads the policy file, if there is one; what is wrong with it only becomes a finding.
// Without a watch it also returns what the last one, or an order, left.
func readSubject(ctx *cli.Context, k *kernel.Kernel, report *daemon.Report) (*doctor.Subject, daemon.LastHealth, error) {
	var last daemon.LastHealth
	name, err := configName(ctx)
	if err != nil {
		return nil, last, err
	}
	s := &doctor.Subject{File: name}
	f, err := load(ctx)
	if other := otherInForce(ctx, k, f); other != nil {
		s.Other, s.OtherHint = other.text, other.hint("")
	}
	store := applied.Open(k.Dir())
	if pending, err := k.Pending(); err == nil {
		if r := rejectedNow(name, store, store.InForce(), store.Now(pending != nil)); r != nil {
			s.Rejected, s.RejectedHint = r.String(), r.Advice()
		}
	}
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		s.Missing = true
		return s, last, nil
	}
	if err != nil {
		s.Problem = err.Error()
		return s, last, nil
	}
	ds := f.diagnostics
	ds.Sort()
	for _, d := range ds {
		if ds.HasErrors() {
			s.Problem = fmt.Sprintf("%s: %s", d.Pos, d.Message)
			return s, last, nil
		}
	}
	host, err := k.HostFacts(compiler.Needs(f.doc))
	if err != nil {
		return nil, last, err
	}
	now := situation{host: host, watch: report}
	if report == nil {
		// What cannot be read of the last watch's state is reported by other commands.
		now.lastHealth, _ = daemon.ReadLastHealth(healthPath(k), f.doc, host, kernel.Uptime())
	}
	s.Take(f.doc, host, now.down())
	return s, now.lastHealth, nil
}

// watchedFacts are the uplinks' states, both IP versions of one together.
func watchedFacts(statuses []healthcheck.Status, quotas map[string]*daemon.QuotaStatus) (out []facts.Watched) {
	for _, u := range daemon.UplinkStates(statuses) {
		w := facts.Watched{Uplink: u.Uplink, State: u.State(), Usable: !u.Failed()}
		for _, s := range u.Versions {
			if s.State.Failed() && s.State != healthcheck.ForcedDown {
				w.LastFailure = cmp.Or(w.LastFailure, s.Why())
			}
			if s.State == healthcheck.OverQuota {
				w.LastFailure, w.Remedy = spentText(quotas[s.Uplink]), moreQuota(s.Uplink)
			}
		}
		out = append(out, w)
	}
	return out
}

// readLive compares the kernel with the policy, and reads the apply that waits to be confirmed.
func readLive(k *kernel.Kernel, s *doctor.Subject, f *facts.Facts) error {
	pending, err := k.Pending()
	if err != nil {
		return err
	}
	if pending != nil {
		f.State.Pending, f.State.Orphaned = pendingText(pending), !pending.Guarded
	}
	if s.Want == nil {
		return nil
	}
	live, err := k.Live(s.Want)
	if err != nil {
		return err
	}
	d := plan.Diff(live, s.Want)
	f.State.Compared = true
	f.State.Behind = len(d.Routes) + len(d.Rules) + len(d.Sysctls) + len(d.Counters) + len(d.Flowtables) + len(
		d.Sets) + len(d.Chains) + len(d.Foreign)
	return nil
}

// askGateways asks the uplinks' gateways for their link-layer addresses, all at once: every host
// that has one must answer. Gateways behind a device without such addresses are omitted.
func askGateways(configs []healthcheck.Config) []facts.Gateway {
	prober := healthcheck.NewProber()
	ctx, cancel := context.WithTimeout(context.Background(), gatewayTimeout)
	defer cancel()
	var mu sync.Mutex
	var out []facts.Gateway
	var asked sync.WaitGroup
	for _, c := range configs {
		c.Method = healthcheck.MethodARP
		for _, addr := range []netip.Addr{c.Gateway4, c.Gateway6} {
			if !addr.IsValid() {
				continue
			}
			asked.Go(func() {
				rtt, err := prober.Probe(ctx, c, addr.String())
				g := facts.Gateway{Uplink: c.Uplink, Address: addr.String(), RTT: rtt}
				switch {
				case errors.Is(err, healthcheck.ErrNotProbed):
					return
				case errors.Is(err, context.DeadlineExceeded):
					g.Failure = "no answer in " + gatewayTimeout.String()
				case err != nil:
					g.Failure = err.Error()
				}
				mu.Lock()
				defer mu.Unlock()
				out = append(out, g)
			})
		}
	}
	asked.Wait()
	for _, c := range configs {
		prober.Release(c.Uplink)
	}
	return out
}
