package main

import (
	"context"
	"errors"
	"fmt"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
)

// undo goes back to the policy before the apply that waits, without a watch, and notes that the
// policy on trial was rejected: before that, so that an undo that is killed on the way leaves no
// policy that a boot would apply.
func (c command) undo(stop context.Context, k *kernel.Kernel) (*daemon.Applied, error) {
	s := applied.Open(k.Dir())
	noted := rejectTrial(s)
	done, err := c.quietly().goBack(stop, k, s)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(noted, s.EndTrial()); err != nil {
		done.Warnings = append(done.Warnings, fmt.Sprintf("recording that the policy was rejected: %v", err))
	}
	return done, nil
}

// rejectTrial notes that the policy on trial was rejected, and that the one before it is in force
// again.
func rejectTrial(s applied.Store) error {
	trial, err := s.Trial()
	if err != nil {
		return nil //nolint:nilerr // there is none: it was begun by an older version
	}
	kept, err := s.Kept()
	if err != nil {
		return s.Reject(trial)
	}
	if kept.Hash != trial.Hash { // else it is what stays in force
		err = s.Reject(trial)
	}
	if s.InForce() == nil {
		err = errors.Join(err, s.SetInForce(kept, ""))
	}
	return err
}

// goBack applies the policy from before the trial for the present host facts, so that damage by
// others does not come back with it. If that policy is unknown, or cannot be applied, the kernel
// gets the state from before the trial.
func (c command) goBack(stop context.Context, k *kernel.Kernel, s applied.Store) (*daemon.Applied, error) {
	before := policyBefore(k, s)
	if before == nil {
		return revertKernel(stop, k)
	}
	now, want, err := c.compileNow(before, k)
	var done *daemon.Applied
	if err == nil {
		done, err = c.applyPlan(stop, k, &applyOptions{}, before, now, want)
	}
	if err == nil {
		return done, k.ClearPending()
	}
	done, failed := revertKernel(stop, k)
	if failed != nil {
		return nil, failed
	}
	done.Warnings = append(done.Warnings, fmt.Sprintf("the policy from before the trial cannot be applied: %v: "+
		"the kernel is as it was before the trial: run pbr diff", err))
	return done, nil
}

// policyBefore returns the policy from before the trial; nil where there was none or it is not
// known.
func policyBefore(k *kernel.Kernel, s applied.Store) *policyFile {
	if nothing, err := k.NothingBefore(); err != nil || nothing {
		return nil
	}
	now := s.InForce()
	kept, err := s.Kept()
	if err != nil || now == nil || now.Hash != kept.Hash {
		return nil
	}
	return loadAgain(kept)
}

// revertKernel goes back to the kernel's state from before the trial.
func revertKernel(stop context.Context, k *kernel.Kernel) (*daemon.Applied, error) {
	report, err := k.Revert(stop)
	if err != nil {
		return nil, err
	}
	return &daemon.Applied{Changed: changedLines(report), Changes: changedObjects(report), Warnings: report.Warnings,
		Lost: lossAdvice(report)}, nil
}
