package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
)

func (c command) applyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Usage:     "make the kernel match the policy, sending only what differs",
		ArgsUsage: " ",
		Description: "Adds routes first, then ip rules, then one nftables transaction; removals go\n" +
			"the other way round. If anything fails, everything is rolled back. Parts that\n" +
			"need a missing interface are skipped, and reported. While pbr watch runs, the\n" +
			"watch applies the policy, with the same report, and uses the given file from\n" +
			"then on. With --confirm the command returns at once. The change is undone\n" +
			"after that time, even if the terminal is gone, unless you run pbr confirm\n" +
			"before; pbr revert undoes it now. If another pbr is at work, it waits; it\n" +
			"reads the policy file after the wait. Exit status 4 if something is still\n" +
			"missing when --wait ends.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "confirm", Usage: "undo the change after `TIME` (such as 60s) unless pbr confirm is run before"},
			&cli.DurationFlag{Name: "wait",
				Usage: "apply again when interfaces, addresses and gateways appear, until nothing is missing, " +
					"for at most `TIME` (such as 60s)"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what pbr diff prints, and change nothing"},
			&cli.BoolFlag{Name: "reload", Usage: "for a service's reload: read the file in force again; a rejected file is refused"},
			&cli.BoolFlag{Name: "boot", Usage: "for a service's start: if the file was rejected, apply the last confirmed policy instead"},
			&cli.BoolFlag{Name: "again",
				Usage: "for hooks of a network manager: apply the policy in force again, " +
					"without edits of its file; does nothing while pbr watch runs"},
			fullFlag(), lockWaitFlag(), jsonFlag(),
		},
		Action: c.runApply,
	}
}

// applyOptions are apply's, as they were given.
type applyOptions struct {
	// confirm is 0 for good.
	confirm time.Duration
	// wait is how long to wait for what is missing.
	wait                time.Duration
	reload, boot, again bool
	// full has everything compared.
	full bool
	// read is the policy that was read for it; nil until then, and if it is broken.
	read *policyFile
	// dnsmasq means that the apply changes dnsmasq's file.
	dnsmasq bool
	// found is what it left in sync; nil if that is not known.
	found *found
}

func (c command) runApply(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	o, err := applyOptionsOf(ctx)
	if err != nil {
		return err
	}
	if ctx.Bool("dry-run") {
		return c.dryRun(ctx)
	}
	return withKernel(func(k *kernel.Kernel) error {
		if o.full {
			k.CompareAll()
		}
		switch {
		case o.again:
			return c.applyAgain(ctx, k, o)
		case o.wait > 0:
			return c.applyAndWait(ctx, k, o)
		}
		done, err := c.applyOnce(ctx, k, o)
		return c.reportApplied(ctx, done, err)
	})
}

// reportApplied prints what apply did.
func (c command) reportApplied(ctx *cli.Context, done *daemon.Applied, err error) error {
	if err != nil {
		return err
	}
	err = c.printApplied(ctx, done, inSync)
	if done.Until != nil {
		c.printDeadline(*done.Until)
	}
	return err
}

func applyOptionsOf(ctx *cli.Context) (o *applyOptions, err error) {
	o = &applyOptions{}
	o.full = ctx.Bool(fullName)
	o.reload, o.boot, o.again, o.wait = ctx.Bool("reload"), ctx.Bool("boot"), ctx.Bool("again"), ctx.Duration("wait")
	if o.confirm, err = confirmTime(ctx); err != nil {
		return o, err
	}
	var given []string
	for _, name := range []string{"dry-run", "confirm", "reload", "boot", "again"} {
		if ctx.IsSet(name) {
			given = append(given, "--"+name)
		}
	}
	switch {
	case len(given) > 1:
		return o, usageError("%s exclude each other", strings.Join(given, " and "))
	case ctx.IsSet("wait") && o.wait <= 0:
		return o, usageError("--wait %s is too short: give a time such as 60s", o.wait)
	case o.wait > 0 && (o.confirm > 0 || o.again || ctx.Bool("dry-run")):
		return o, usageError("--wait and %s exclude each other", given[0])
	}
	return o, nil
}

// confirmTime returns what --confirm asks for, 0 when it is not given.
func confirmTime(ctx *cli.Context) (time.Duration, error) {
	text := ctx.String("confirm")
	if !ctx.IsSet("confirm") {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, usageError("--confirm: invalid time %q: write 60s, 5m or 1h", text)
	case wait < time.Second:
		return 0, usageError("--confirm %s is too short: give at least 1s", wait)
	}
	return wait, nil
}

// dryRun is diff, without its exit status.
func (c command) dryRun(ctx *cli.Context) error {
	err := c.compareWithLive(ctx)
	if differs := exitCode(exitDiffers); errors.Is(err, differs) {
		return nil
	}
	return err
}

// applyOnce applies through the running watch, or under the lock without one, and reports what
// keeps the policy from working.
func (c command) applyOnce(ctx *cli.Context, k *kernel.Kernel, o *applyOptions) (done *daemon.Applied, err error) {
	defer func() {
		if declined := (*daemon.Declined)(nil); !errors.As(err, &declined) {
			c.quickCheck(k, o, err != nil)
		}
	}()
	defer func() {
		if err == nil {
			err = c.reportDnsmasq(o)
		}
	}()
	for {
		err = c.withLock(ctx, k, func(stop context.Context) (err error) {
			if done = c.nothingToDo(ctx, k, o, false); done == nil {
				done, err = c.applyAlone(stop, ctx, k, o)
			}
			return err
		})
		if !errors.Is(err, errWatch) {
			return done, err
		}
		if done = c.nothingToDo(ctx, k, o, true); done != nil {
			return done, nil
		}
		if done, err = c.handOver(ctx, k, o); !errors.Is(err, daemon.ErrNotRunning) {
			return done, err
		}
	}
}

// handOver has the running watch apply the policy.
func (c command) handOver(ctx *cli.Context, k *kernel.Kernel, o *applyOptions) (*daemon.Applied, error) {
	waiting := time.AfterFunc(lockSilence, func() { fmt.Fprintf(c.stderr, "pbr: %v; waiting for it to end\n", daemon.ErrBusy) })
	defer waiting.Stop()
	done, err := daemon.HandOver(k.Dir(), ctx.Duration(lockWaitName), func() (*daemon.Handed, error) {
		waiting.Stop()
		f, err := c.readForApply(ctx, k, o)
		if err != nil {
			return nil, err
		}
		now, want, err := c.compileNow(f, k)
		if err != nil {
			return nil, err
		}
		o.found = &found{file: f, now: now, want: want}
		text, err := json.Marshal(f.text)
		return &daemon.Handed{Policy: text, Confirm: o.confirm, Full: o.full}, err
	})
	if err == nil {
		c.noteHanded(k, o, done)
	}
	return done, err
}

// readForApply reads the policy that is to be applied, and reports what is wrong with it.
func (c command) readForApply(ctx *cli.Context, k *kernel.Kernel, o *applyOptions) (*policyFile, error) {
	c.spareCollector(fileOf(ctx))
	f, err := c.chooseForApply(ctx, applied.Open(k.Dir()), o)
	if err != nil {
		return nil, err
	}
	if err := c.report(f, f.diagnostics); err != nil {
		return nil, err
	}
	o.read = f
	if other := otherInForce(ctx, k, f); other != nil && other.name != f.display && !o.reload && !o.boot && !o.again {
		fmt.Fprintf(c.stderr, "pbr: note: %s replaces %s, the policy in force\n", f.display, other.name)
	}
	change, err := dnsmasqChange(f.doc)
	if err != nil {
		return nil, err
	}
	o.dnsmasq = change != nil
	c.reportUnfetched(f.doc)
	return f, c.report(f, policy.FallsBack(f.doc))
}

// chooseForApply is the file that the command line names, or for services the one that is in force:
// they bring no other file, and none that was rejected, into force.
func (c command) chooseForApply(ctx *cli.Context, s applied.Store, o *applyOptions) (*policyFile, error) {
	now := s.InForce()
	var f *policyFile
	var err error
	switch {
	case o.again:
		kept, err := s.Kept()
		if err != nil {
			return nil, errNothingKept
		}
		return loadAgain(kept), nil
	case !o.reload && !o.boot:
		return load(ctx)
	case now != nil && now.Path == "" && o.reload:
		return nil, errFromPipe
	case now != nil && now.Path != "":
		f, err = loadFile(now.Path, now.Name, policy.Options{ErrorsOnly: true})
	default:
		f, err = load(ctx)
	}
	if err != nil {
		return nil, err
	}
	rejected := s.Rejected(f.text)
	switch {
	case rejected == nil:
		return f, nil
	case o.reload:
		return nil, fmt.Errorf("%v: %s", rejected, rejected.Advice())
	}
	return c.keptInstead(s, rejected)
}

// errFromPipe refuses to read a policy again that cannot be.
var errFromPipe = errors.New("the policy in force came from a pipe, which cannot be read again: run pbr -c FILE apply with a file")

// keptInstead is the policy that was kept last, in the place of a file that was rejected.
func (c command) keptInstead(s applied.Store, rejected *applied.Rejection) (*policyFile, error) {
	kept, err := s.Kept()
	if err != nil {
		return nil, fmt.Errorf("%v, and the policy before it cannot be read (%w): %s", rejected, err, rejected.Advice())
	}
	fmt.Fprintf(c.stderr, "pbr: %v: applying the last confirmed policy instead: %s\n", rejected, rejected.Advice())
	return loadAgain(kept), nil
}

// applyAlone applies without a watch, under the lock.
func (c command) applyAlone(stop context.Context, ctx *cli.Context, k *kernel.Kernel, o *applyOptions) (*daemon.Applied, error) {
	f, err := daemon.UnlessStopped(stop, func() (*policyFile, error) { return c.readForApply(ctx, k, o) })
	if err != nil {
		return nil, err
	}
	if err := c.refuseNothing(f, k); err != nil {
		return nil, err
	}
	if err := c.finishPending(stop, k); err != nil {
		return nil, err
	}
	var now *situation
	want, err := daemon.UnlessStopped(stop, func() (want *plan.Plan, err error) { now, want, err = c.compileNow(f, k); return want, err })
	if err != nil {
		return nil, err
	}
	if o.confirm > 0 {
		return c.applyUntilConfirmed(stop, k, o, f, now, want)
	}
	done, err := c.applyPlan(stop, k, o, f, now, want)
	if err == nil {
		kept := applied.Open(k.Dir()).Keep(f.text, "")
		c.warnOf("recording the policy in force", kept)
		if kept != nil {
			o.found = nil // the next apply has this to do
		}
	}
	return done, err
}

// applyPatience is how long an apply is repeated while the host facts keep changing.
const applyPatience = 10 * time.Second

// applyPlan applies want, f's plan for a situation. It applies again if the host facts change
// meanwhile.
func (c command) applyPlan(
	stop context.Context, k *kernel.Kernel, o *applyOptions, f *policyFile, now *situation, want *plan.Plan,
) (*daemon.Applied, error) {
	done := &daemon.Applied{}
	var later *situation
	var held *kernel.Held
	quiet := c.quietly() // what there is to say was said
	again := daemon.Convergence{
		HostFacts: func() (plan.HostFacts, error) { return k.HostFacts(compiler.Needs(f.doc)) },
		Compile: func(m plan.HostFacts) (*plan.Plan, error) {
			var err error
			if later, err = quiet.situationOf(f.doc, k, m); err != nil {
				return nil, err
			}
			return quiet.compile(f, later)
		},
		Apply: func(p *plan.Plan) error {
			report, err := k.Apply(stop, p)
			if err == nil {
				done.Changed, done.Changes = append(done.Changed, changedLines(report)...),
					append(done.Changes, changedObjects(report, p)...)
				done.Warnings, done.Deferred = append(done.Warnings, report.Warnings...), p.Deferred
				done.Lost = append(done.Lost, lossAdvice(report)...)
				if report.Exposed > 0 {
					done.Warnings = append(done.Warnings, exposedText(report.Exposed))
				}
				held = report.Held
			}
			return err
		},
		Transient: func(err error) bool { return kernel.Interrupted(err) || kernel.Moved(err) },
		Patience:  applyPatience,
	}
	host, want, err := again.Run(stop, now.host, want)
	if err != nil {
		return nil, err
	}
	if its := situationFor(host, now, later); its != nil && len(done.Warnings) == 0 {
		o.found = &found{file: f, now: its, want: want, held: held}
	}
	c.warnOf("recording which lists persist", notePersistence(f.doc, k))
	return done, nil
}

// exposedText says what can become of connections that were deleted because of a strict policy,
// where no watch looks for it.
func exposedText(n int) string {
	return "strict policies: " + count(n, "older connection") + " deleted that left untranslated through another uplink: if the " +
		"firewall lets it in, a later packet of a far end begins one from outside, and answers to that use the same uplink: let the " +
		"firewall drop new connections from uplinks, or run pbr watch, which deletes such connections"
}

// warnOf reports an error that does not make the result wrong.
func (c command) warnOf(what string, err error) {
	if err != nil {
		fmt.Fprintf(c.stderr, "pbr: warning: %s: %v\n", what, err)
	}
}
