package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/kernel"
)

const (
	// eventBurst lets a burst of events end: an interface that comes up causes dozens.
	eventBurst = 50 * time.Millisecond
	// missingShown is how many of those that are missing are named.
	missingShown = 10
)

// applyAndWait applies what is there at once, and again as interfaces, addresses and gateways
// appear, until nothing is missing or the time is up. The lock is free in between.
func (c command) applyAndWait(ctx *cli.Context, k *kernel.Kernel, o *applyOptions) error {
	stop, cancel := interruptible()
	defer cancel()
	err := c.applyUntilComplete(ctx, stop, k, o)
	if o.boot && stop.Err() != nil && err != nil { // the service is told to stop, and stops: no failure
		_ = c.exit(err)
		return exitCode(exitMissing)
	}
	return err
}

func (c command) applyUntilComplete(ctx *cli.Context, stop context.Context, k *kernel.Kernel, o *applyOptions) error {
	listening, deaf := context.WithCancel(stop)
	defer deaf()
	news, err := k.Events(listening) // before the first apply, so that nothing is missed
	if err != nil {
		return err
	}
	sum := &daemon.Applied{}
	started := extendStart()
	defer started()
	done, err := c.applyOnce(ctx, k, o)
	if err != nil {
		return err
	}
	started()
	until, over := context.WithTimeout(stop, o.wait) // what the first apply takes does not count
	defer over()
	c.reportPart(ctx, sum, done)
	notifyManager("READY=1") // what is there is in force; boot continues
	for {                    // from now on what is in force, as others may apply something else meanwhile
		missing, err := c.missing(k, o)
		if err != nil {
			return err
		}
		if len(missing) == 0 || !waitForNews(until, news) {
			return errors.Join(c.endWait(ctx, sum), missingError(c.stderr, missing, stop.Err() != nil, o.wait))
		}
		done, err := c.quietly().repeat(ctx, k)
		if err != nil {
			fmt.Fprintf(c.stderr, "pbr: applying again: %v\n", err)
			continue // a link that changed meanwhile is reported by another event
		}
		c.reportPart(ctx, sum, done)
	}
}

// quietly is the same command for what was said before.
func (c command) quietly() command {
	c.stderr = io.Discard
	return c
}

// reportPart adds a part of what was done to the sum, and prints it unless all of it is to be one
// JSON.
func (c command) reportPart(ctx *cli.Context, sum, done *daemon.Applied) {
	first := sum.Deferred == nil && len(sum.Changed) == 0
	sum.Changed = append(sum.Changed, done.Changed...)
	sum.Changes = append(sum.Changes, done.Changes...)
	sum.Warnings = append(sum.Warnings, done.Warnings...)
	sum.Deferred = append([]plan.Deferred{}, done.Deferred...)
	if !ctx.Bool("json") && (first || len(done.Changed) > 0) {
		_ = c.printApplied(ctx, done, inSync) // that it cannot be told is no reason to end
	}
}

// endWait prints the sum as JSON, if that is asked for.
func (c command) endWait(ctx *cli.Context, sum *daemon.Applied) error {
	if !ctx.Bool("json") {
		return nil
	}
	return c.printApplied(ctx, sum, inSync)
}

// missingError says what is missing still, if anything is.
func missingError(w io.Writer, missing []string, interrupted bool, after time.Duration) error {
	switch {
	case len(missing) == 0:
		return nil
	case interrupted:
		return errors.New("interrupted: the policy is applied, except for what is missing")
	}
	shown := missing[:min(len(missing), missingShown)]
	fmt.Fprintf(w, "pbr: after %s still missing: %s\n", after, strings.Join(shown, "; "))
	if more := len(missing) - len(shown); more > 0 {
		fmt.Fprintf(w, "pbr: %d more are missing: pbr diff --json lists all of them\n", more)
	}
	return exitCode(exitMissing)
}

// waitForNews waits until the host changes; it reports whether that was before the time was up.
func waitForNews(until context.Context, news <-chan kernel.Event) bool {
	for {
		select {
		case n, ok := <-news:
			if !ok {
				return false
			}
			if n.Kind == kernel.EventDrift {
				continue
			}
			pause(until, eventBurst)
			return until.Err() == nil
		case <-until.Done():
			return false
		}
	}
}

// missing lists what of the policy's uplinks is not there: interfaces, addresses, gateways.
func (c command) missing(k *kernel.Kernel, o *applyOptions) ([]string, error) {
	f := o.read
	if kept, err := applied.Open(k.Dir()).Kept(); err == nil && kept.Hash != f.text.Hash {
		f = loadAgain(kept)
	}
	host, err := k.HostFacts(compiler.Needs(f.doc))
	if err != nil {
		return nil, err
	}
	want, problems := f.compiled().Compile(host, nil)
	if want == nil {
		return nil, c.report(f, problems)
	}
	var out []string
	told := map[string]bool{}
	for _, w := range want.Deferred {
		if w.Uplink != "" {
			told[w.Uplink] = true
			out = append(out, w.Object+": "+w.Reason)
		}
	}
	links := daemon.Links(f.doc, host)
	for _, uv := range daemon.UplinkVersions(f.doc) {
		if state, why := links[uv].State(); state != "" && !told[uv.Uplink] && !daemon.MayLack(f.doc, host, uv) {
			told[uv.Uplink] = true
			out = append(out, "uplink "+uv.Uplink+": "+why)
		}
	}
	return out, nil
}

// errNothingKept means that nothing was applied yet.
var errNothingKept = fmt.Errorf("nothing was applied yet: %w", fs.ErrNotExist)

// applyAgain applies the policy in force again for the present host facts. It says so if there is
// nothing to do.
func (c command) applyAgain(ctx *cli.Context, k *kernel.Kernel, o *applyOptions) error {
	pending, err := k.Pending()
	switch {
	case err != nil:
		return err
	case daemon.Answers(k.Dir()):
		fmt.Fprintln(c.stdout, "pbr watch runs and follows the machine: nothing to do")
		return nil
	case pending != nil:
		fmt.Fprintf(c.stderr, "pbr: %s: unchanged\n", pendingText(pending))
		return nil
	}
	done, err := c.applyOnce(ctx, k, o)
	if errors.Is(err, errNothingKept) {
		fmt.Fprintln(c.stdout, "nothing was applied yet: nothing to do")
		return nil
	}
	return c.reportApplied(ctx, done, err)
}

// repeat is applyAgain without a word. While a watch runs, or an apply waits to be confirmed, it
// does nothing.
func (c command) repeat(ctx *cli.Context, k *kernel.Kernel) (*daemon.Applied, error) {
	pending, err := k.Pending()
	if err != nil || pending != nil || daemon.Answers(k.Dir()) {
		return &daemon.Applied{}, err
	}
	return c.applyOnce(ctx, k, &applyOptions{again: true})
}
