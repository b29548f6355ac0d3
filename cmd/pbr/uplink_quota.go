package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/state"
)

// quotaUsage is how quotas are changed.
const quotaUsage = "write pbr uplink NAME quota reset, or pbr uplink NAME quota +5GB"

// runQuota changes an uplink's quota for this period.
func (c command) runQuota(ctx *cli.Context, name, what string) error {
	change := daemon.QuotaChange{Reset: what == "reset"}
	if text, grants := strings.CutPrefix(what, "+"); grants {
		var err error
		if change.Grant, err = policy.ParseSize(text); err != nil {
			return usageError("invalid size %q: %v: %s", text, err, policy.SizeHint)
		}
	} else if !change.Reset {
		return usageError("invalid change of a quota %q: %s", what, quotaUsage)
	}
	if err := c.changeQuota(ctx, name, change); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "uplink %s: quota %s\n", name, what)
	return err
}

// changeQuota has the running watch do it, or does it under the lock without one.
func (c command) changeQuota(ctx *cli.Context, name string, change daemon.QuotaChange) error {
	for {
		err := withKernel(func(k *kernel.Kernel) error {
			_, err := daemon.Ask(k.Dir(), daemon.Request{Do: "quota", Uplink: name, Quota: &change})
			if !errors.Is(err, daemon.ErrNotRunning) {
				return err
			}
			return c.withLock(ctx, k, func(context.Context) error { return c.changeQuotaAlone(ctx, k, name, change) })
		})
		if !errors.Is(err, errWatch) {
			return err
		}
	}
}

func (c command) changeQuotaAlone(ctx *cli.Context, k *kernel.Kernel, name string, change daemon.QuotaChange) error {
	f, err := c.loadShown(ctx, k)
	if err == nil {
		err = daemon.CheckUplink(f.doc, name)
	}
	if err != nil {
		return err
	}
	quotas, err := daemon.LoadQuotas(state.Find(k.Dir()))
	if err != nil {
		return err
	}
	if err := quotas.Change(f.doc.Uplink(name), change); err != nil {
		return err
	}
	if err := quotas.Save(time.Now()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stderr, "pbr: pbr watch is not running: nothing counts what uplinks carry")
	return err
}

// quotasAlone are the quotas without a watch, by uplink, as far as they can be read.
func quotasAlone(doc *policy.Document, k *kernel.Kernel) map[string]*daemon.QuotaStatus {
	quotas, _ := daemon.LoadQuotas(state.Find(k.Dir()))
	out := map[string]*daemon.QuotaStatus{}
	for i := range doc.Uplinks {
		if s := quotas.Status(&doc.Uplinks[i], time.Now()); s != nil {
			out[doc.Uplinks[i].Name] = s
		}
	}
	return out
}

// quotasOf are the quotas by uplink: those of the running watch, or else those that were saved.
func quotasOf(watch *daemon.Report, doc *policy.Document, k *kernel.Kernel) map[string]*daemon.QuotaStatus {
	switch {
	case watch != nil:
		return watch.Quotas
	case doc != nil:
		return quotasAlone(doc, k)
	}
	return nil
}

// spentText says that a quota is used up, and for how long, if that is known.
func spentText(q *daemon.QuotaStatus) string {
	if q == nil {
		return "its quota is used up"
	}
	return "its quota is used up until " + q.Resets.Format(resetTime)
}

// moreQuota is the command that adds to an uplink's quota.
func moreQuota(uplink string) string { return "pbr uplink " + uplink + " quota +5GB" }

// resetTime is how the end of a quota's period is written.
const resetTime = "2006-01-02 15:04"

// ample is the share of a quota that is left without a line of its own where there are many.
const ample = 10

// quotaLines say how much of each quota is left.
func (f folding) quotaLines(uplinks []uplinkStatus) (lines []string) {
	few := f.few(len(uplinks))
	left := 0
	for _, u := range uplinks {
		q := u.Quota
		if q == nil {
			continue
		}
		may := q.Bytes + q.Extra
		if !few && q.Left >= may/ample {
			left++
			continue
		}
		text := fmt.Sprintf("quota of %s: %s of %s left", u.Name, size(&q.Left), size(&may))
		if q.Left == 0 {
			text = fmt.Sprintf("quota of %s: %s used up", u.Name, size(&may))
		}
		lines = append(lines, text+", reset on "+q.Resets.Format(resetTime))
	}
	if left > 0 {
		lines = append(lines, fmt.Sprintf("quotas of %s: a tenth or more is left", counted(left, "uplink")))
	}
	return lines
}
