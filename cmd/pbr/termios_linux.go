package main

import "golang.org/x/sys/unix"

// The requests that read and write a terminal's settings (ioctl_tty(2)).
const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
)
