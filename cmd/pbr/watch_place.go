package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
)

// placeLook is how often the watch looks whether its lock and its socket are still where others
// look for them: a look each second would be half of what a watch of two idle uplinks costs.
const placeLook = 5 * time.Second

// place is where others find the watch: its lock, without which a second one would start, and its
// control socket, without which every command takes it for ended. Somebody may remove them.
type place struct {
	kernel *kernel.Kernel
	watch  *daemon.Watcher
	log    *slog.Logger
	// control serves; made is its socket's file.
	control net.Listener
	made    os.FileInfo
	serving sync.WaitGroup
	// told means that the log has that something cannot be made again.
	told bool
	// end ends the watch, because of lost.
	end  func()
	lost error
}

// run serves the socket, and makes what was removed again, until ctx ends.
func (p *place) run(ctx context.Context) {
	p.serve(ctx)
	defer p.serving.Wait()
	look := time.NewTicker(placeLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		err := p.repair(ctx)
		var locked *kernel.LockedError
		switch {
		case ctx.Err() != nil:
			return
		case errors.As(err, &locked) && locked.Doing == doingWatch:
			p.lost = fmt.Errorf("the lock in %s was removed, and another pbr watch (process %d) has it now: this one ends",
				p.kernel.Dir(), locked.PID)
			if l, ok := p.control.(*net.UnixListener); ok {
				l.SetUnlinkOnClose(false) // -- the file of that name is the other's
			}
			p.end()
			return
		case locked != nil: // -- an apply, which ends
			continue
		case err != nil && !p.told:
			p.log.Error("the lock or the control socket was removed, and cannot be made again yet", "error", err)
		}
		p.told = err != nil
	}
}

// serve has the socket answered.
func (p *place) serve(ctx context.Context) {
	p.made, _ = os.Stat(p.socket())
	control := p.control
	p.serving.Go(func() { daemon.Serve(ctx, control, p.watch, p.log) })
}

func (p *place) socket() string { return filepath.Join(p.kernel.Dir(), daemon.SocketName) }

// repair makes what is missing again.
func (p *place) repair(ctx context.Context) error {
	if p.kernel.LockLost() {
		if err := p.watch.Relock(ctx, p.kernel.Relock); err != nil {
			return err
		}
		p.log.Warn("somebody removed the lock: made it again", "directory", p.kernel.Dir())
	}
	if now, err := os.Stat(p.socket()); err == nil && p.made != nil && os.SameFile(p.made, now) {
		return nil
	}
	_ = p.control.Close() // -- before the new one is made: closing removes the file of its name
	control, err := daemon.Listen(p.kernel.Dir())
	if err != nil {
		return err
	}
	p.control = control
	p.serve(ctx)
	p.log.Warn("somebody removed the control socket: made it again", "socket", p.socket())
	return nil
}
