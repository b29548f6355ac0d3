package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/kernel"
	"pbr/kernel/doctor"
	"pbr/kernel/facts"
	"pbr/kernel/state"
	"pbr/render"
)

func (c command) checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "parse and resolve the policy; print errors, warnings, and the time its health checks take",
		ArgsUsage: " ",
		Description: "Reads the policy file and its lists, and checks the hook if this machine has\n" +
			"the uplinks' interfaces. Every finding has its place in the file, a code and,\n" +
			"if possible, the right spelling. Exit status 1 if there are errors, with\n" +
			"--strict also for warnings.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "strict", Usage: "exit with status 1 on warnings too"},
			&cli.StringFlag{Name: "expect",
				Usage: "also check the assertions about packets in `FILE`: [[expect]] in TOML, from the policy alone"},
			&cli.BoolFlag{Name: "live", Usage: "also check the policy against this machine's interfaces, addresses and nftables"},
			jsonFlag(),
		},
		Action: c.runCheck,
	}
}

func (c command) runCheck(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	c.spareCollector(fileOf(ctx))
	f, err := loadWith(ctx, policy.Options{})
	if err != nil {
		return err
	}
	ds := f.diagnostics
	var unknown []facts.Unknown
	if !ds.HasErrors() {
		var problems policy.Diagnostics
		problems, unknown, err = checkMachine(f.doc, ctx.Bool("live"))
		if err != nil {
			return err
		}
		ds = append(append(ds, problems...), checkHook(f.doc, ctx.Bool("live"))...)
		ds = append(ds, checkSecrets(f, ctx.Bool("live"))...)
	}
	if ctx.IsSet("expect") && !ds.HasErrors() {
		failed, err := checkExpectations(f, ctx.String("expect"))
		if err != nil {
			return err
		}
		ds = append(ds, failed...)
	}
	ds.Sort()
	if ctx.Bool("json") {
		if err := render.DiagnosticsJSON(c.stdout, ds); err != nil {
			return err
		}
	} else if err := c.printCheck(f, ds); err != nil {
		return err
	}
	c.reportUnfetched(f.doc)
	c.reportUnchecked(unknown)
	if note := state.Find("").Temporary(); note != "" {
		fmt.Fprintf(c.stderr, "pbr: note: %s\n", note)
	}
	if ds.HasErrors() || ctx.Bool("strict") && len(ds)+len(unknown) > 0 {
		return exitCode(exitError)
	}
	return nil
}

// reportUnchecked says what --live could not check.
func (c command) reportUnchecked(unknown []facts.Unknown) {
	for _, u := range unknown {
		do := "run as root"
		if u.Confined {
			do = u.Why
		}
		fmt.Fprintf(c.stderr, "pbr: warning: not checked: %s: %s\n", u.What, do)
	}
}

// checkMachine returns what is wrong with a policy on any machine, or with --live on this one, and
// what of this one is not known.
func checkMachine(doc *policy.Document, live bool) (policy.Diagnostics, []facts.Unknown, error) {
	if !live {
		return compiler.Problems(doc, anyMachine()), nil, nil
	}
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return nil, nil, err
	}
	defer k.Close()
	needs := compiler.Needs(doc)
	host, err := k.HostFacts(needs)
	if err != nil {
		return nil, nil, err
	}
	problems := compiler.Problems(doc, host)
	f, err := k.Beside(needs.OfRoutes())
	if err != nil {
		return nil, nil, err
	}
	problems = append(problems, doctor.Live(doc, f)...)
	problems = append(problems, doctor.Cgroups(doc, host)...)
	return append(problems, doctor.RefusedAnswers(doc, k.Sysctls(doctor.AnswerSettings(doc)))...), f.Unknown, nil
}

// printCheck prints the findings, how long the checks take, how far schedules reach, what bounds
// sets that dnsmasq fills, whether own addresses are left to the kernel and marks have no room, and
// a summary.
func (c command) printCheck(f *policyFile, ds policy.Diagnostics) error {
	if err := render.Diagnostics(c.stderr, ds, f.source, colour(c.stderr), columns(c.stderr)); err != nil {
		return err
	}
	errors, warnings := 0, 0
	for _, d := range ds {
		if d.Severity == policy.Error {
			errors++
		} else {
			warnings++
		}
	}
	if errors == 0 {
		if err := c.printTimes(f.doc); err != nil {
			return err
		}
		if policy.HasSchedule(f.doc) {
			fmt.Fprintf(c.stdout, "schedules: times of %s; what is applied now reaches until %s, and every apply and pbr watch extend it\n",
				scheduleZones(f.doc, kernel.LocalZone().String()), compiler.SchedulesReach(time.Now()).Format("2006-01-02"))
		}
	}
	if errors == 0 {
		fmt.Fprint(c.stdout, dnsmasqBounds(f.doc), ownNote(f.doc), insideNote(f.doc))
	}
	summary := fmt.Sprintf("%s: %s, %s", f.display, count(errors, "error"), count(warnings, "warning"))
	_, err := fmt.Fprintln(c.stdout, summary)
	return err
}

// scheduleZones names the time zones of the schedules that policies have, with the policies that
// use each where there are several; local is the zone of those that name none.
func scheduleZones(doc *policy.Document, local string) string {
	var zones []string
	users := map[string][]string{}
	for i := range doc.Policies {
		p := &doc.Policies[i]
		for _, t := range p.Schedule {
			zone := cmp.Or(t.Zone, local)
			if users[zone] == nil {
				zones = append(zones, zone)
			}
			if !slices.Contains(users[zone], p.Name) {
				users[zone] = append(users[zone], p.Name)
			}
		}
	}
	if len(zones) > 1 {
		for i, zone := range zones {
			zones[i] = zone + " (" + firstOf(users[zone]) + ")"
		}
	}
	return strings.Join(zones, ", ")
}

// insideNote says that marks have no room for which side opened a connection; else it is empty.
func insideNote(doc *policy.Document) string {
	c, crowded := compiler.Crowded(doc)
	if !crowded {
		return ""
	}
	const cost = "Everything works; packets of pinned connections cost a few percent more."
	why := fmt.Sprintf("%s needed; with the inside bit mark-mask has %d: one more bit gives it back: mark-mask = %#08x. %s",
		countAre(c.Needed, "number"), c.Room, c.Wider, cost)
	if c.Needed <= c.Room {
		why = fmt.Sprintf("%s. %s A mark below %#08x, or none, gives it back.", highMarks(doc, c.Bit), cost, c.Bit)
	}
	return "marks: no inside bit: " + why + " See \"inside bit\" in docs/how-it-works.md\n"
}

// highMarks names the tables whose fixed mark has a bit.
func highMarks(doc *policy.Document, bit uint32) string {
	var list []string
	for i := range doc.Tables {
		if t := &doc.Tables[i]; t.Mark&bit != 0 {
			list = append(list, fmt.Sprintf("table %q (line %d) has mark %#08x", t.Name, t.MarkPos.Line, t.Mark))
		}
	}
	return strings.Join(list, ", ")
}

// printTimes prints, per checked uplink, how long its parameters need to declare it down and up
// again.
func (c command) printTimes(doc *policy.Document) error {
	w := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	header := false
	checks := daemon.Configs(doc, nil, plan.HostFacts{})
	for _, check := range checks {
		if check.Method == healthcheck.MethodNone {
			continue
		}
		if !header {
			fmt.Fprintln(w, "UPLINK\tCHECK\tDOWN WITHIN\tUP WITHIN\tJUDGES")
			header = true
		}
		if !check.Follows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", check.Uplink, check.Method, check.DownWithin(), check.UpWithin(), judges(check, checks))
		}
	}
	return w.Flush()
}

// judges says which versions a check judges: its own, and the other one if that has no targets.
func judges(check healthcheck.Config, all []healthcheck.Config) string {
	text := fmt.Sprintf("IPv%d", check.Version)
	for _, o := range all {
		if o.Uplink == check.Uplink && o.Follows {
			text += fmt.Sprintf(", which IPv%d follows", o.Version)
		}
	}
	return text
}

func countAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return count(n, what) + " are"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
