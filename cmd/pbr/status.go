package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/kernel"
	"pbr/kernel/conntrack"
)

// statusPause is between two looks of status --watch.
const statusPause = time.Second

func (c command) statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show uplinks with their health, tables with their active routes, and who uses them",
		ArgsUsage: " ",
		Description: "With a running pbr watch it shows the watch's uplinks, tables and health,\n" +
			"even if the policy file was changed. Without it, it shows the policy file's,\n" +
			"with link status, orders of pbr uplink and the last known health. Routes,\n" +
			"connections and balances' clients are read from the kernel. Exit status 3 if\n" +
			"an uplink is unused because it is down, degraded or was taken out of use, and\n" +
			"without pbr watch also if the policy is not applied, or the kernel or the\n" +
			"file differs from what was applied. If there are more than 30 uplinks, those\n" +
			"that are alike and have no problem share a line.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"},
				Usage: "update it every second; on a terminal with plots of round-trip times and loss, " +
					"and the last events, until you type q"},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"},
				Usage: "show each uplink, table, member, policy and rule, even if there are many alike"},
			&cli.BoolFlag{Name: "events", Usage: "list the last 200 changes of uplinks' states, the oldest first, and nothing else"},
			&cli.StringFlag{Name: "clients",
				Usage: "list the clients that the sticky `BALANCE` remembers, with their members, and nothing else"},
			jsonFlag(),
		},
		Action: c.runStatus,
	}
}

// statusResult is status' JSON.
type statusResult struct {
	// Watch is nil when pbr watch is not running.
	Watch   *watchStatus   `json:"watch"`
	Policy  policyStatus   `json:"policy"`
	Uplinks []uplinkStatus `json:"uplinks"`
	Tables  []tableStatus  `json:"tables"`
	// Unmarked are the connections that no policy caught and that use default's first uplink, and
	// those that pbr has nothing to do with.
	Unmarked usage `json:"unmarked"`
	// Balances are those that policies use.
	Balances []balanceStatus `json:"balances"`
	// Policies and Rules are in the file's order.
	Policies []steeringStatus `json:"policies"`
	Rules    []ruleStatus     `json:"rules"`
	// Mask has the bits of marks that are pbr's, RulePriority is the first of its ip rules'
	// priorities.
	Mask string `json:"mask"`
	// InsideBit is the bit of Mask that ct marks of connections opened from inside have.
	InsideBit    string `json:"inside_bit,omitempty"`
	RulePriority uint32 `json:"rule_priority"`
	// Fallbacks are the policies that cannot use the uplink that they name.
	Fallbacks []daemon.Fallback `json:"fallbacks"`
	// Clock says that the system clock is behind, and what that means; only if a policy has a
	// schedule.
	Clock string `json:"clock,omitempty"`
	// Disabled are the objects of the file that have no effect.
	Disabled []daemon.OutlineDisabled `json:"disabled,omitempty"`
	// Domains says how lists of domains get their addresses; nil without such lists in force.
	Domains *domainsStatus `json:"domains,omitempty"`
	// Together says that checks fail together, and which uplinks are kept anyway.
	Together string `json:"together,omitempty"`
	// note is for people, on standard error.
	note string
	// file and want are the policy and its plan, without a watch.
	file *policyFile
	want *plan.Plan
	// other is the policy in force, if it is another one than file.
	other *otherFile
}

type watchStatus struct {
	PID          int            `json:"pid"`
	Since        time.Time      `json:"since"`
	Policy       string         `json:"policy"`
	PolicyLoaded time.Time      `json:"policy_loaded"`
	Numbers      daemon.Numbers `json:"numbers"`
}

// usage counts connections; Bytes is nil where the kernel does not count them
// (net.netfilter.nf_conntrack_acct).
type usage struct {
	Connections int     `json:"connections"`
	Bytes       *uint64 `json:"bytes,omitempty"`
}

// tableStatus is a table of the policy with the best of its routes to each destination.
type tableStatus struct {
	Name    string `json:"name"`
	Comment string `json:"comment,omitempty"`
	Table   uint32 `json:"table"`
	// Mark leads packets into it, "0x0" if none does.
	Mark   string        `json:"mark"`
	Active []activeRoute `json:"active"`
}

// activeRoute is a route that the kernel takes; a table without one for a family falls through.
type activeRoute struct {
	Family      plan.Family `json:"family"`
	Destination string      `json:"destination"`
	// Uplinks are more than one when they share connections, and none when the destination is
	// unreachable.
	Uplinks []string `json:"uplinks"`
	Via     []string `json:"via"`
	Metric  uint32   `json:"metric"`
	// Kept means that none of the uplinks is usable: the route stays because the table has no
	// other.
	Kept bool `json:"kept"`
}

func (c command) runStatus(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if ctx.Bool("events") {
		return c.showEvents(ctx, k)
	}
	if ctx.IsSet("clients") {
		return c.showClients(ctx, k, ctx.String("clients"))
	}
	if c.onScreen(ctx) {
		return c.watchStatus(ctx, stop, k)
	}
	for {
		s, err := c.readStatus(ctx, k)
		if err != nil {
			return err
		}
		if err := c.printStatus(ctx, s); err != nil {
			return err
		}
		if !ctx.Bool("watch") {
			return statusExit(s)
		}
		select {
		case <-time.After(statusPause):
		case <-stop.Done():
			return nil
		}
	}
}

// statusExit is exit status 3 when an uplink is not to be used, or the policy is not in force.
func statusExit(s *statusResult) error {
	if s.Policy.State == policyNotApplied || s.Policy.State == policyDiffers ||
		slices.ContainsFunc(s.Uplinks, func(u uplinkStatus) bool { return u.failed() }) {
		return exitCode(exitDown)
	}
	return nil
}

// readStatus takes policy and health from the running watch, or from the policy file and the last
// known health.
func (c command) readStatus(ctx *cli.Context, k *kernel.Kernel) (*statusResult, error) {
	report, err := runningWatch(k)
	if err != nil {
		return nil, err
	}
	s, outline := &statusResult{Uplinks: []uplinkStatus{}}, daemon.Outline{}
	if report != nil {
		outline = report.Outline
		s.Watch = &watchStatus{report.PID, report.Since, report.Policy, report.Loaded, report.Numbers}
		s.note, s.Together = fileNote(ctx, report), report.Together
		s.Uplinks = uplinkStatuses(report.Uplinks, &outline)
		s.setQuotas(report.Quotas)
	} else if outline, err = c.statusAlone(ctx, k, s); err != nil {
		return nil, err
	}
	if s.Policy, err = readPolicyStatus(ctx, k, report); err != nil {
		return nil, err
	}
	if report == nil {
		if err := s.Policy.compare(k, s); err != nil {
			return nil, err
		}
	}
	if err := s.readKernel(&outline, k); err != nil {
		return nil, err
	}
	s.Domains.watch(report)
	return s, nil
}

// statusAlone adds the uplinks without a watch, and the policy that they are of.
func (c command) statusAlone(ctx *cli.Context, k *kernel.Kernel, s *statusResult) (daemon.Outline, error) {
	f, err := load(ctx)
	s.other = otherInForce(ctx, k, f)
	if err != nil || f.diagnostics.HasErrors() {
		c.warnOtherFile(ctx, k, f)
	}
	if f, err = c.orHeld(ctx, k, f, err); err != nil {
		return daemon.Outline{}, err
	}
	now, err := c.readSituation(f.doc, k)
	if err != nil {
		return daemon.Outline{}, err
	}
	want, problems := compiler.Compile(f.doc, now.host, now.down())
	if want == nil {
		return daemon.Outline{}, c.report(f, problems)
	}
	s.file, s.want = f, want
	outline := daemon.NewOutline(f.doc, want)
	s.Uplinks = uplinkStatuses(now.lines(f.doc), &outline)
	s.setQuotas(quotasAlone(f.doc, k))
	return outline, nil
}

func (s *statusResult) setQuotas(quotas map[string]*daemon.QuotaStatus) {
	for i := range s.Uplinks {
		s.Uplinks[i].Quota = quotas[s.Uplinks[i].Name]
	}
}

// fileNote says what is wrong with the policy file, while a watch runs that read it when it was
// good; empty if nothing is, or the command line names none that is there.
func fileNote(ctx *cli.Context, report *daemon.Report) string {
	name, err := configName(ctx)
	if err != nil {
		return err.Error()
	}
	if _, err := os.Stat(name); name != report.Policy && errors.Is(err, fs.ErrNotExist) {
		return "" // the watch has another one, and nobody needs this
	}
	f, err := load(ctx)
	wrong := ""
	switch {
	case err != nil:
		wrong = err.Error()
	case f.diagnostics.HasErrors():
		wrong = fmt.Sprintf("policy file %s is broken: run \"pbr check\" for details", f.display)
	default:
		return ""
	}
	return wrong + "; this is the policy that pbr watch read before"
}

// readKernel adds what the kernel knows: routes, connections, balances.
func (s *statusResult) readKernel(o *daemon.Outline, k *kernel.Kernel) error {
	live, err := k.Live(&plan.Plan{Mask: o.Mask, Inside: o.Inside, BasePriority: o.BasePriority, Numbers: o.Numbers})
	if err != nil {
		return err
	}
	used, err := k.Connections(o.Mask &^ o.Inside)
	if err != nil {
		return err
	}
	s.Unmarked = sum(used, 0)
	for i := range s.Uplinks {
		u := &s.Uplinks[i]
		pinned, strict := plan.PinnedMarks(o.Numbers, u.Name)
		u.usage = sum(used, append(pinned, strict...)...)
		u.Mark, u.Table = hexMark(o.Mark(u.Name)), o.Table(u.Name)
		if len(strict) > 0 {
			u.StrictMark = hexMark(strict[0])
		}
	}
	s.Mask, s.RulePriority = hexMark(o.Mask), o.BasePriority
	if o.Inside != 0 {
		s.InsideBit = hexMark(o.Inside)
	}
	s.Tables = activeRoutes(o, s.Uplinks, live)
	s.Domains = domainsOf(o, live, k)
	if s.Fallbacks = []daemon.Fallback{}; len(live.Ruleset.Chains) > 0 {
		s.Fallbacks = append(s.Fallbacks, daemon.Fallbacks(*o, live)...)
	}
	packets, err := k.Packets()
	if err != nil {
		return err
	}
	if s.Balances, err = readBalances(o, live, k, packets); err != nil {
		return err
	}
	s.readSteering(o, live, packets)
	s.Disabled = o.Disabled
	if o.Scheduled {
		s.Clock = k.ClockNote()
	}
	return nil
}

func hexMark(mark uint32) string { return fmt.Sprintf("0x%x", mark) }

// known is nil for a time that is not set.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// sum adds up the connections of several marks.
func sum(used map[uint32]conntrack.Usage, marks ...uint32) usage {
	var u usage
	var bytes uint64
	for _, m := range marks {
		u.Connections += used[m].Connections
		bytes += used[m].Bytes
		if used[m].HasBytes {
			u.Bytes = &bytes
		}
	}
	return u
}

// activeRoutes lists the policy's tables, default last, with the route of the lowest metric to each
// destination.
func activeRoutes(o *daemon.Outline, uplinks []uplinkStatus, live *plan.Plan) []tableStatus {
	byInterface := map[string]uplinkStatus{}
	for _, u := range uplinks {
		byInterface[u.Interface] = u
	}
	list := make([]tableStatus, 0, len(o.Tables))
	for _, name := range o.Tables {
		s := tableStatus{Name: name, Comment: o.Comments["table "+name], Table: o.Table(name),
			Mark: hexMark(o.Mark(name)), Active: []activeRoute{}}
		for _, r := range live.Routes { // sorted: the lowest metric to a destination comes first
			if r.Table != s.Table {
				continue
			}
			a := active(r, byInterface)
			if last := len(s.Active) - 1; last < 0 || s.Active[last].Family != a.Family || s.Active[last].Destination != a.Destination {
				s.Active = append(s.Active, a)
			}
		}
		list = append(list, s)
	}
	return list
}

// active describes a route.
func active(r plan.Route, uplinks map[string]uplinkStatus) activeRoute {
	a := activeRoute{Family: r.Family, Destination: r.Dst.String(), Metric: r.Metric, Uplinks: []string{}, Via: []string{}}
	if r.Dst.Bits() == 0 {
		a.Destination = "default"
	}
	usable := len(r.Hops) == 0
	for _, h := range r.Hops {
		name := h.Dev
		if u, ours := uplinks[h.Dev]; ours {
			name = u.Name
			usable = usable || u.Usable
		}
		a.Uplinks = append(a.Uplinks, name)
		via := h.Dev
		if h.Via.IsValid() {
			via = h.Via.String()
		}
		a.Via = append(a.Via, via)
	}
	a.Kept = !usable
	return a
}
