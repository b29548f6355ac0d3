package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/kernel"
)

// uplinkModes are the modes that an uplink can be set to.
var uplinkModes = []string{healthcheck.ForceUp, healthcheck.ForceDown, healthcheck.ForceAuto}

func (c command) uplinkCommand() *cli.Command {
	return &cli.Command{
		Name:      "uplink",
		Usage:     "force an uplink down or up, whatever its checks say",
		ArgsUsage: "NAME up|down|auto, or NAME quota reset|+SIZE",
		Description: "down: no new connections, and existing ones are flushed, as when it fails.\n\n" +
			"up: used even if its checks fail.\n\n" +
			"auto: its checks decide again.\n\n" +
			"quota reset: counts the quota of this period from zero.\n\n" +
			"quota +5GB: adds 5 GB in this period.\n\n" +
			"When the command returns, it is done: by the running pbr watch, or without one\n" +
			"by the command itself, unless the policy file has other changes to apply. The\n" +
			"order stays in force, also for pbr apply, until auto, pbr flush or a reboot.",
		Flags:  []cli.Flag{lockWaitFlag()},
		Action: c.runUplink,
	}
}

func (c command) runUplink(ctx *cli.Context) error {
	args := ctx.Args()
	usage := fmt.Sprintf("write pbr uplink NAME %s, or pbr uplink NAME quota reset|+SIZE", strings.Join(uplinkModes, "|"))
	if args.Len() >= 2 && args.Get(1) == "quota" {
		if args.Len() != 3 {
			return usageError("quota takes one argument, but got %d: %s", args.Len()-2, quotaUsage)
		}
		return c.runQuota(ctx, args.Get(0), args.Get(2))
	}
	if args.Len() > 1 {
		meant := policy.Nearest(args.Get(1), append([]string{"quota"}, uplinkModes...))
		if meant != "" && !slices.Contains(uplinkModes, args.Get(1)) {
			return usageError("invalid mode %q: did you mean %q? %s", args.Get(1), meant, usage)
		}
	}
	switch {
	case args.Len() != 2:
		return usageError("uplink takes two arguments, but got %d: %s", args.Len(), usage)
	case args.Get(0) == "":
		return usageError("uplink needs a name: %s", usage)
	case !slices.Contains(uplinkModes, args.Get(1)):
		return usageError("invalid mode %q: %s", args.Get(1), usage)
	}
	name, mode := args.Get(0), args.Get(1)
	kept, err := c.force(ctx, name, mode)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "uplink %s: %s\n", name, mode)
	if mode == healthcheck.ForceDown {
		c.reportStaying(name, kept)
	}
	return nil
}

// force orders it through the running watch, or under the lock without one. The result is
// daemon.Report.Kept afterwards.
func (c command) force(ctx *cli.Context, name, mode string) (kept map[string][]string, err error) {
	for {
		kept, asked, err := askUplink(name, mode)
		if asked || err != nil {
			return kept, err
		}
		err = withKernel(func(k *kernel.Kernel) error {
			return c.withLock(ctx, k, func(stop context.Context) error {
				f, err := c.loadShown(ctx, k)
				if err == nil {
					kept, err = c.forceAlone(stop, f, k, name, mode)
				}
				return err
			})
		})
		if !errors.Is(err, errWatch) {
			return kept, err
		}
	}
}

// reportStaying says which tables use an uplink anyway that was just taken out of use.
func (c command) reportStaying(name string, kept map[string][]string) {
	for _, table := range slices.Sorted(maps.Keys(kept)) {
		if slices.Contains(kept[table], name) {
			fmt.Fprintf(c.stderr, "pbr: warning: uplink %s is the last one of table %s: its routes stay, "+
				"and traffic still uses it, until another one is usable\n", name, table)
		}
	}
}

// askUplink has the running watch do it; asked is false when none runs. kept is daemon.Report.Kept
// afterwards.
func askUplink(name, mode string) (kept map[string][]string, asked bool, err error) {
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return nil, false, err
	}
	defer k.Close()
	_, err = daemon.Ask(k.Dir(), daemon.Request{Do: "force", Uplink: name, Mode: mode})
	switch {
	case errors.Is(err, daemon.ErrNotRunning):
		return nil, false, nil
	case err != nil:
		return nil, true, err
	}
	if report, err := runningWatch(k); err == nil && report != nil { // -- else it has just ended; the order stays in force
		kept = report.Kept
	}
	return kept, true, nil
}

// forceAlone changes the kernel without a watch. It does so only if the kernel holds what the
// policy file says: otherwise an unapplied edit of the file would come into force with it.
func (c command) forceAlone(stop context.Context, f *policyFile, k *kernel.Kernel, name, mode string) (map[string][]string, error) {
	if err := daemon.CheckUplink(f.doc, name); err != nil {
		return nil, err
	}
	if err := c.finishPending(stop, k); err != nil {
		return nil, err
	}
	now, err := c.readSituation(f.doc, k)
	if err != nil {
		return nil, err
	}
	old, problems := compiler.Compile(f.doc, now.host, now.down())
	if old == nil {
		return nil, c.report(f, problems)
	}
	have, err := k.Live(old)
	if err != nil {
		return nil, err
	}
	same := plan.Diff(have, old).Empty()
	w := daemon.New(daemon.Options{
		Policy: f.doc, Kernel: watchKernel{k}, StateFile: healthPath(k), Uptime: kernel.Uptime,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	done, err := w.ForceAlone(stop, now.lastHealth, name, mode, same)
	if err != nil {
		return nil, err
	}
	if !same {
		return nil, fmt.Errorf("uplink %s: %s is recorded, but not in force: pbr watch is not running, "+
			"and the kernel differs from %s in other things too (pbr diff): run pbr apply to apply all of it",
			name, mode, f.display)
	}
	if done.Flushed > 0 {
		fmt.Fprintf(c.stderr, "pbr: connections flushed: %d\n", done.Flushed)
	}
	fmt.Fprintln(c.stderr, "pbr: pbr watch is not running: nothing checks the uplinks")
	return done.Kept, nil
}
