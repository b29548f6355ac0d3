package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
)

// measuredPause is between two looks at what was measured: as often as the watch has something new.
const measuredPause = 5 * time.Second

// Escape sequences of xterm(1), which all terminals have: another screen, and back; the cursor
// away, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// onScreen reports whether status --watch has a terminal to itself.
func (c command) onScreen(ctx *cli.Context) bool {
	in, isFile := c.stdin.(*os.File)
	return ctx.Bool("watch") && !ctx.Bool("json") && isFile && isTerminal(in) && columns(c.stdout) > 0 && os.Getenv("TERM") != "dumb"
}

// watchStatus shows the status on the terminal until q is typed.
func (c command) watchStatus(ctx *cli.Context, stop context.Context, k *kernel.Kernel) error {
	screen := &statusScreen{}
	var measured time.Time
	t := &terminalScreen{in: c.stdin.(*os.File), out: c.stdout.(*os.File), paint: colour(c.stdout)}
	return t.run(stop, func() (view, error) {
		s, err := c.readStatus(ctx, k)
		if err != nil {
			return nil, err
		}
		screen.status, screen.now = s, time.Now()
		if s.note != "" {
			s.Policy.notes = append(s.Policy.notes, s.note)
		}
		screen.events = lastEvents(k)
		if screen.now.Sub(measured) >= measuredPause {
			screen.measured, measured = nil, screen.now
			if a, err := daemon.Ask(k.Dir(), daemon.Request{Do: "measured"}); err == nil {
				screen.measured = a.Measured
			}
		}
		return screen, nil
	})
}

// lastEvents returns the events of the running watch, or of the last one; none if nobody knows.
func lastEvents(k *kernel.Kernel) []daemon.PastEvent {
	if a, err := daemon.Ask(k.Dir(), daemon.Request{Do: "events"}); err == nil {
		return a.Events
	}
	events, err := daemon.PastEvents(healthPath(k))
	if err != nil {
		return nil
	}
	return events
}

// view is what is shown.
type view interface {
	lines(width, height int, paint bool) []string
}

// terminalScreen shows something on a terminal as long as somebody looks.
type terminalScreen struct {
	in, out *os.File
	paint   bool
}

// run shows what look returns, again each second and when the terminal changes its size, until stop
// ends or q is typed. It leaves the terminal as it was.
func (t *terminalScreen) run(stop context.Context, look func() (view, error)) error {
	before, err := unix.IoctlGetTermios(int(t.in.Fd()), getTermios)
	if err != nil {
		return err
	}
	first, err := look()
	if err != nil {
		return err // on the screen where it can be read afterwards
	}
	ctx, cancel := context.WithCancel(stop)
	defer cancel()
	t.enter(before)
	defer func() {
		_ = unix.IoctlSetTermios(int(t.in.Fd()), setTermios, before)
		_, _ = t.out.WriteString(leaveScreen)
	}()
	go t.keys(cancel)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT)
	defer signal.Stop(signals)
	tick := time.NewTicker(statusPause)
	defer tick.Stop()
	for {
		t.draw(first)
		select {
		case <-tick.C:
			if first, err = look(); err != nil {
				return err
			}
		case s := <-signals:
			if s == syscall.SIGCONT { // somebody had the terminal meanwhile
				t.enter(before)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// enter takes the terminal: keys come at once, and are not shown; ^C and ^Z work as ever.
func (t *terminalScreen) enter(before *unix.Termios) {
	raw := *before
	raw.Lflag &^= unix.ICANON | unix.ECHO
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(int(t.in.Fd()), setTermios, &raw)
	_, _ = t.out.WriteString(enterScreen)
}

// keys ends it when q is typed, or the terminal is gone.
func (t *terminalScreen) keys(end func()) {
	defer end()
	key := make([]byte, 1)
	for {
		if n, err := t.in.Read(key); err != nil || n == 1 && (key[0] == 'q' || key[0] == 'Q') {
			return
		}
	}
}

// draw writes all lines at once, each over the one that was there, so that nothing flickers.
func (t *terminalScreen) draw(v view) {
	width, height := 80, 24
	if size, err := unix.IoctlGetWinsize(int(t.out.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		width, height = int(size.Col), int(size.Row)
	}
	_, _ = t.out.WriteString(toTop + strings.Join(v.lines(width, height, t.paint), clearLine+"\r\n") + clearLine + clearRest)
}
