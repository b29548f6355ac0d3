package main

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"pbr/render"
)

// page is text that is printed at once, for a terminal of a width; 0 where it is none.
type page struct {
	bytes.Buffer
	width int
}

// columns is how wide the terminal w is, 0 if it is none.
func columns(w io.Writer) int {
	if p, ok := w.(*page); ok {
		return p.width
	}
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// hanging is how far the lines of a message behind its first one are indented.
const hanging = 5

// told wraps a one-line message to the width of terminal w; messages with several lines, and output
// to anything but a terminal, stay as they are.
func told(w io.Writer, message string) string {
	for _, c := range message {
		if c == '\n' {
			return message
		}
	}
	return message[:min(len(message), hanging)] + render.Wrap(message[min(len(message), hanging):], columns(w), hanging)
}
