package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal of so many columns and returns its side for programs.
func terminal(t *testing.T, columns uint16) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}); err != nil {
		t.Fatal(err)
	}
	return slave
}

// Messages are broken to fit a terminal, and left alone anywhere else.
func TestColumns(t *testing.T) {
	message := "pbr: " + strings.Repeat("what is wrong, ", 20) + "end"
	tty := terminal(t, 60)
	t.Run("a terminal has its width", func(t *testing.T) {
		if n := columns(tty); n != 60 {
			t.Errorf("a terminal of 60 columns has %d", n)
		}
	})
	t.Run("a message is broken, and nothing of it is lost", func(t *testing.T) {
		wrapped := told(tty, message)
		for line := range strings.Lines(wrapped) {
			if len(strings.TrimSuffix(line, "\n")) > 60 {
				t.Errorf("too wide: %q", line)
			}
		}
		if strings.Join(strings.Fields(wrapped), " ") != message || !strings.Contains(wrapped, "\n     ") {
			t.Errorf("wrapped: %q", wrapped)
		}
	})
	t.Run("what is not a terminal has none", func(t *testing.T) {
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = null.Close() }()
		if columns(&bytes.Buffer{}) != 0 || columns(null) != 0 || told(&bytes.Buffer{}, message) != message {
			t.Error("what is not a terminal has no width")
		}
	})
	t.Run("a message of several lines stays as it is", func(t *testing.T) {
		if lines := "pbr: one\n  two"; told(tty, lines) != lines {
			t.Errorf("lines of its own: %q", told(tty, lines))
		}
	})
}
