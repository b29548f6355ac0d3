//go:build !small

package web

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
)

func resize(t *testing.T, master *os.File, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// shown is what a terminal was told to show.
type shown struct {
	mu   sync.Mutex
	text string
}

func (s *shown) read(master *os.File) {
	b := make([]byte, 65536)
	for {
		n, err := master.Read(b)
		s.mu.Lock()
		s.text += string(b[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

var escapes = regexp.MustCompile(`\x1b\[[?0-9;]*[a-zA-Z]`)

// last is the last whole screen, a line each, without escape sequences.
func (s *shown) last() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	screens := strings.Split(s.text, "\x1b[H")
	if len(screens) < 3 {
		return nil
	}
	text := strings.ReplaceAll(escapes.ReplaceAllString(screens[len(screens)-2], ""), "\r", "")
	return strings.Split(text, "\n")
}

// count returns how many screens were begun.
func (s *shown) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text, "\x1b[H")
}

// pbr status --watch on a terminal of 80x24: plots, a failover, another size, and q, which leaves
// the terminal as it was.
func (r *router) statusScreen(t *testing.T) {
	master, slave := lab.OpenTerminal(t)
	resize(t, master, 24, 80)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := r.Router.Command(program, "--config", r.file, "status", "--watch")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := r.Router.Start(cmd); err != nil {
		t.Fatal(err)
	}
	s := &shown{}
	go s.read(master)
	defer master.Close()
	wait := func(what string, ok func([]string) bool) {
		t.Helper()
		if !lab.Eventually(lab.Patience(20*time.Second), func() bool { l := s.last(); return l != nil && ok(l) }) {
			_ = cmd.Process.Kill()
			t.Fatalf("waited in vain for %s; the last of %d screens:\n%s", what, s.count(), strings.Join(s.last(), "\n"))
		}
	}
	has := func(lines []string, words ...string) bool {
		for _, l := range lines {
			all := true
			for _, w := range words {
				all = all && strings.Contains(l, w)
			}
			if all {
				return true
			}
		}
		return false
	}
	wait("the lines with their plots", func(l []string) bool {
		return len(l) == 24 && has(l, "isp1", "up", "ms", "▁") && has(l, "default", "IPv4 isp1") && has(l, "q ends") &&
			has(l, "isp2", "up", "answered")
	})
	r.silent("isp2")
	wait("the failover", func(l []string) bool {
		return has(l, "isp2", "down", "no answer") && has(l, "calls", "IPv4 isp1")
	})
	resize(t, master, 12, 60)
	wait("another size", func(l []string) bool {
		for _, line := range l {
			if len([]rune(line)) > 60 {
				return false
			}
		}
		return len(l) == 12
	})
	if _, err := master.Write([]byte("xq")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("q: %v", err)
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is not restored: %+v, %+v, %v", before, after, err)
	}
	_ = slave.Close()
	r.speaking("isp2")
	r.waitState("isp2", "up")
}
