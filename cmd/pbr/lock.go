package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
)

const (
	// lockPatience is how long a command waits for another pbr that is at work, unless --lock-wait
	// says otherwise.
	lockPatience = 30 * time.Second
	// lockSilence is how long it does so without a word.
	lockSilence = time.Second
	// lockPoll is how often it tries again.
	lockPoll = 25 * time.Millisecond
)

const lockWaitName = "lock-wait"

// lockWaitFlag is the option of every command that waits.
func lockWaitFlag() cli.Flag {
	return &cli.DurationFlag{Name: lockWaitName, Value: lockPatience, Usage: "how long to wait for another pbr, `TIME`; 0s fails at once"}
}

// errWatch means that a running pbr watch has the lock, and answers.
var errWatch = errors.New("pbr watch runs")

// interruptible ends with an interrupt, so that a change is stopped between two steps, with
// everything undone.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
}

// withLock does something for a command under the lock of this network namespace, so that one pbr
// at a time changes it. It waits for another command, but not for a watch: the error is errWatch
// then.
func (c command) withLock(ctx *cli.Context, k *kernel.Kernel, do func(context.Context) error) error {
	stop, cancel := interruptible()
	defer cancel()
	unlock, err := c.waitForLock(stop, k, ctx.Command.Name, ctx.Duration(lockWaitName))
	if err != nil {
		return err
	}
	defer unlock()
	return do(stop)
}

// waitForLock is the lock, or errWatch where a watch that answers has it.
func (c command) waitForLock(stop context.Context, k *kernel.Kernel, doing string, patience time.Duration) (unlock func(), err error) {
	start, told := time.Now(), false
	for {
		unlock, err := k.Lock(doing)
		var locked *kernel.LockedError
		if !errors.As(err, &locked) {
			return unlock, err
		}
		// Without room in /run nobody could write down what has the lock.
		if (locked.Doing == doingWatch || locked.PID == 0) && daemon.Answers(k.Dir()) {
			return nil, errWatch
		}
		waited := time.Since(start)
		if waited >= patience {
			return nil, fmt.Errorf("%w: waited %s: run pbr %s again when it has ended, or use a longer --%s", err,
				patience, doing, lockWaitName)
		}
		if waited >= lockSilence && !told {
			told = true
			fmt.Fprintf(c.stderr, "pbr: %v; waiting up to %s for it to end\n", locked, patience)
		}
		if pause(stop, lockPoll); stop.Err() != nil {
			return nil, errors.New("interrupted while waiting for another pbr; nothing was changed")
		}
	}
}

// withKernel opens the kernel for a command.
func withKernel(do func(*kernel.Kernel) error) error {
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	return do(k)
}

// doingWatch is what a watch says it does with the lock.
const doingWatch = "watch"

// lockForWatch takes the lock for as long as the watch runs. It waits for a pbr that is at work, or
// ending, but not for another watch.
func (c command) lockForWatch(stop context.Context, k *kernel.Kernel) (func(), error) {
	unlock, err := c.waitForLock(stop, k, doingWatch, lockPatience)
	if errors.Is(err, errWatch) {
		return nil, watchRuns(k,
			"to apply a changed policy file run pbr apply; to start another watch stop this one first (systemctl stop pbr, or kill %d)")
	}
	return unlock, err
}

// watchRuns refuses something because a watch runs; advice says what to do, with the watch's
// process as its only operand.
func watchRuns(k *kernel.Kernel, advice string) error {
	pid := 0
	if report, err := runningWatch(k); err == nil && report != nil {
		pid = report.PID
	}
	return fmt.Errorf("pbr watch is already running in this network namespace (process %d): "+advice, pid, pid)
}
