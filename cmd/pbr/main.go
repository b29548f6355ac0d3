// Command pbr compiles a policy file into routing state and keeps the kernel to it.
package main

import (
	"os"
	"runtime/debug"
)

// gcPercent trades memory for time: a big policy is read once, and the program ends.
const gcPercent = 400

func main() {
	debug.SetGCPercent(gcPercent)
	os.Exit(command{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}.main(os.Args))
}
