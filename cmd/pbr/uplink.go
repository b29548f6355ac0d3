package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/healthcheck/watch"
	"pbr/kernel"
)

// uplinkModes are what an uplink can be told.
var uplinkModes = []string{healthcheck.ForceUp, healthcheck.ForceDown, healthcheck.ForceAuto}

func (c command) uplinkCommand() *cli.Command {
	return &cli.Command{
		Name:      "uplink",
		Usage:     "take an uplink out of use or into it, whatever its checks say",
		ArgsUsage: "NAME up|down|auto",
		Description: "down: no new connections, and those that run are cut, as when it fails. up: used even though its checks\n" +
			"fail. auto: by its checks again. It is done when the command returns, by the running pbr watch, or without one\n" +
			"by the command itself, where nothing else of the policy file waits to be applied. The order stands, also for pbr\n" +
			"apply, until it is revoked, pbr flush, or the machine's end.",
		Action: c.runUplink,
	}
}

func (c command) runUplink(ctx *cli.Context) error {
	args := ctx.Args()
	usage := fmt.Sprintf("write pbr uplink NAME %s", strings.Join(uplinkModes, "|"))
	switch {
	case args.Len() != 2:
		return usageError("uplink takes two arguments, but got %d: %s", args.Len(), usage)
	case !slices.Contains(uplinkModes, args.Get(1)):
		return usageError("an uplink cannot be told %q: %s", args.Get(1), usage)
	}
	name, mode := args.Get(0), args.Get(1)
	asked, err := askUplink(name, mode)
	if err != nil {
		return err
	}
	if !asked {
		err = c.withPolicy(ctx, func(f *policyFile, k *kernel.Kernel) error {
			return withLock("uplink", k, func(stop context.Context) error { return c.forceAlone(stop, f, k, name, mode) })
		})
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(c.stdout, "uplink %s: %s\n", name, mode)
	return nil
}

// askUplink has the running watch do it; it is false when none runs.
func askUplink(name, mode string) (bool, error) {
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return false, err
	}
	defer k.Close()
	_, err = watch.Ask(k.Dir(), watch.Request{Do: "force", Uplink: name, Mode: mode})
	if errors.Is(err, watch.ErrNotRunning) {
		return false, nil
	}
	return true, err
}

// forceAlone does it without a watch. The kernel is changed only where it holds what the policy file says: else an edit of the file that
// nobody has applied yet would come into force along with it.
func (c command) forceAlone(stop context.Context, f *policyFile, k *kernel.Kernel, name, mode string) error {
	if !slices.ContainsFunc(f.doc.Uplinks, func(u policy.Uplink) bool { return u.Name == name }) {
		return fmt.Errorf("there is no uplink %s in %s: the uplinks are %s", name, f.display, uplinkNames(f.doc))
	}
	if err := c.settlePending(stop, k); err != nil {
		return err
	}
	now, err := c.readSituation(f.doc, k)
	if err != nil {
		return err
	}
	old, problems := compiler.Compile(f.doc, now.machine, now.down())
	if old == nil {
		return c.report(f, problems)
	}
	have, err := k.Live(old)
	if err != nil {
		return err
	}
	same := plan.Diff(have, old).Empty()
	w := watch.New(watch.Options{
		Policy: f.doc, Kernel: watchKernel{k}, StateFile: healthPath(k), Uptime: kernel.Uptime, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	cut, err := w.ForceAlone(stop, now.left, name, mode, same)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("uplink %s is to be %s, which is noted, but not in force: pbr watch is not running, and the kernel differs from %s in other things too (pbr diff); pbr apply brings all of it into force",
			name, mode, f.display)
	}
	if cut > 0 {
		fmt.Fprintf(c.stderr, "pbr: connections cut: %d\n", cut)
	}
	fmt.Fprintln(c.stderr, "pbr: pbr watch is not running: nothing checks the uplinks")
	return nil
}

func uplinkNames(doc *policy.Document) string {
	names := make([]string, 0, len(doc.Uplinks))
	for i := range doc.Uplinks {
		names = append(names, doc.Uplinks[i].Name)
	}
	return strings.Join(names, ", ")
}
