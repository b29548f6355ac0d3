package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lifecycle ends the watch in some way, and starts it again.
func (c *chaos) lifecycle(r *rand.Rand) {
	c.pause(r, 500*time.Millisecond, 3*time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		c.say("chaos: start")
		c.start()
		return
	}
	signal := oneOf(r, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGHUP, syscall.SIGHUP)
	c.say("chaos: %v", signal)
	_ = c.cmd.Process.Signal(signal)
	if signal == syscall.SIGHUP {
		return
	}
	_ = c.wait() // with an error if it was killed, or was just starting
	c.pause(r, 0, time.Second)
	c.say("chaos: start")
	c.start()
}

// operate is a person, or a script, who edits the policy and runs pbr.
func (c *chaos) operate(r *rand.Rand) {
	c.pause(r, 0, 800*time.Millisecond)
	text := c.policy + oneOf(r, chaosEdits...)
	if r.IntN(6) == 0 {
		text = "uplink = 7\n"
	}
	if r.IntN(2) == 0 { // as an editor does: a whole file, or none of it
		file := fmt.Sprintf("%s.%d", c.router.file, r.Uint32())
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Rename(file, c.router.file)); err != nil {
			c.t.Error(err)
		}
	}
	args := oneOf(r, []string{"apply"}, []string{"apply", "--full"}, []string{"apply", "--confirm", "1s"},
		[]string{"apply", "--confirm", "2s"},
		[]string{"confirm"}, []string{"revert"}, []string{"apply", "--reload"}, []string{"uplink", "isp1", "down"},
		[]string{"uplink", "isp2", "down"},
		[]string{"uplink", "isp1", "auto"}, []string{"uplink", "isp2", "auto"}, []string{"uplink", "isp2", "up"},
		[]string{"status"}, []string{"diff"})
	c.say("chaos: pbr %v", args)
	if r.IntN(4) > 0 {
		c.try(args...)
		return
	}
	cmd := c.Router.Command(pbrPath, append([]string{"--config", c.router.file}, args...)...)
	if err := c.Router.Start(cmd); err != nil {
		c.t.Error(err)
		return
	}
	time.Sleep(between(r, 0, 60*time.Millisecond))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// network takes links and addresses away, makes the internet behind an uplink silent, and gives all
// of it back.
func (c *chaos) network(r *rand.Rand) {
	c.pause(r, 200*time.Millisecond, 1500*time.Millisecond)
	isp := oneOf(r, c.Spec.ISPs...)
	c.say("chaos: trouble with %s", isp.Name)
	switch r.IntN(4) {
	case 0:
		c.Router.Exec("ip", "link", "set", isp.Iface, "down")
	case 1:
		c.Router.Exec("ip", "address", "del", isp.Router4.String(), "dev", isp.Iface)
	case 2:
		c.Router.Exec("ip", "-6", "address", "flush", "dev", isp.Iface, "scope", "global")
	default:
		c.ISPs[isp.Name].Exec("nft", "add", "element", "inet", "trouble", "dead", "{ 9.9.9.9 }")
	}
	c.pause(r, 100*time.Millisecond, 1500*time.Millisecond)
	c.ISPs[isp.Name].Exec("nft", "flush", "set", "inet", "trouble", "dead")
	c.connect()
	c.say("chaos: %s is well again", isp.Name)
}

// meddle is another program that deletes what is pbr's, and nothing else.
func (c *chaos) meddle(r *rand.Rand) {
	c.pause(r, time.Second, 4*time.Second)
	c.say("chaos: somebody meddles")
	c.leaks.expose()
	switch r.IntN(4) {
	case 0:
		c.Router.Exec("nft", "delete", "table", "inet", "pbr")
	case 1:
		c.Router.Exec("ip", "rule", "flush", "protocol", ownProtocol)
	case 2:
		c.Router.Exec("ip", "route", "flush", "table", "all", "proto", ownProtocol)
	default:
		c.Router.Exec("nft", "flush", "table", "inet", "pbr")
	}
}

// diskSize is that of the disk below /run/pbr, in bytes.
const diskSize = 4 << 20

// smallDisk puts a disk of its own below the router's directory in /run/pbr.
func (w *watched) smallDisk() {
	w.t.Helper()
	dir := w.Router.StateDir()
	err := errors.Join(os.MkdirAll(dir, 0o700), unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *watched) ballast() string { return filepath.Join(w.Router.StateDir(), "ballast") }

// fill leaves no room on the disk below /run/pbr.
func (w *watched) fill() {
	w.t.Helper()
	if err := os.WriteFile(w.ballast(), []byte(strings.Repeat("x", 2*diskSize)), 0o600); !errors.Is(err, unix.ENOSPC) {
		w.t.Errorf("the disk is not full: %v", err)
	}
}

func (w *watched) emptyDisk() { _ = os.Remove(w.ballast()) }

// fillDisk fills the disk for a while.
func (c *chaos) fillDisk(r *rand.Rand) {
	c.pause(r, time.Second, 5*time.Second)
	c.say("chaos: the disk is full")
	c.fill()
	c.pause(r, 100*time.Millisecond, 2*time.Second)
	c.emptyDisk()
	c.say("chaos: the disk has room")
}
