package main

import (
	"io"
	"strings"

	"pbr/kernel"
)

// withOwnKernel does something with a connection to the kernel of its own: the watch's is in use.
func withOwnKernel(do func(*kernel.Kernel) error) error {
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	return do(k)
}

// quiet is the program without a word: its answers are what counts.
func quiet() command {
	return command{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
}
