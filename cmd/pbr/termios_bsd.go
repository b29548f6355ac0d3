//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package main

import "golang.org/x/sys/unix"

// The requests that read and write a terminal's settings (tty(4)).
const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
)
