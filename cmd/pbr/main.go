// Command pbr compiles a policy file into routing state and keeps the kernel to it.
package main

import (
	"os"
	"runtime/debug"
)

func main() {
	debug.SetGCPercent(gcPercent)
	os.Exit(command{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, ends: true}.main(os.Args))
}
