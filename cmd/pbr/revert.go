package main

import (
	"context"
	"log/syslog"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"pbr/kernel"
)

const (
	// pendingPoll is how often a waiting revert looks whether it was confirmed. It does not
	// matter to anyone: a confirmed one that ends late does nothing.
	pendingPoll = time.Second
	// An undo that fails, as by a lack of memory or by someone who changes the same at the same time, is tried again: after
	// firstRetry, then after twice as long each time, up to lastRetry, and not after retryFor. By then a person has to look.
	firstRetry = time.Second
	lastRetry  = time.Minute
	retryFor   = 30 * time.Minute
	// lockWait is how long an undo waits for another command to end before that counts as a failure.
	lockWait = 30 * time.Second
)

// revertCommand is what apply --confirm leaves running; people have no use for it.
func (c command) revertCommand() *cli.Command {
	return &cli.Command{
		Name:   "revert",
		Hidden: true,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "token"}},
		Action: c.runRevert,
	}
}

func (c command) runRevert(ctx *cli.Context) error {
	token := ctx.String("token")
	if token == "" {
		return usageError("revert is run by apply --confirm")
	}
	// The terminal's end must not end this. A TERM is a shutdown or the end of the login session:
	// then the change is undone at once rather than never.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()

	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	r := revert{k: k, token: token}
	if !r.waitUnconfirmed(stop) {
		return nil
	}
	return r.undo(stop)
}

// revert is the undoing of one unconfirmed apply.
type revert struct {
	k     *kernel.Kernel
	token string
}

// waitUnconfirmed waits for the time to be over, or a signal, and tells whether the change is still unconfirmed.
func (r revert) waitUnconfirmed(stop context.Context) bool {
	for {
		pending, err := r.k.Pending()
		if err == nil && (pending == nil || pending.Token != r.token) {
			return false
		}
		if stop.Err() != nil || err == nil && pending.Left <= 0 {
			return true
		}
		wait := pendingPoll
		if err == nil {
			wait = min(wait, pending.Left)
		}
		pause(stop, wait)
	}
}

// undo undoes the change, again and again until it succeeds, is confirmed, or the time for that is over. After a signal it tries once.
func (r revert) undo(stop context.Context) error {
	start := time.Now()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := r.once()
		if err == nil {
			return nil
		}
		toSyslog("undoing the apply that was not confirmed: " + err.Error())
		if stop.Err() != nil || time.Since(start) > retryFor {
			return err
		}
		pause(stop, wait)
	}
}

func (r revert) once() error {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	unlock, err := r.k.LockWait(ctx, "undo of an unconfirmed apply")
	if err != nil {
		return err
	}
	defer unlock()
	if pending, err := r.k.Pending(); err != nil || pending == nil || pending.Token != r.token {
		return err
	}
	report, err := r.k.Revert(context.Background())
	if err != nil {
		return err
	}
	for _, w := range report.Warnings {
		toSyslog("undoing the apply that was not confirmed: " + w)
	}
	return nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, wait time.Duration) {
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}

// toSyslog tells the system's log, where there is one: this process has no terminal. What failed is also in the state directory, from
// which the next command tells it.
func toSyslog(text string) {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "pbr")
	if err != nil {
		return
	}
	defer w.Close()
	_ = w.Warning(text)
}
