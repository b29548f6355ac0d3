// Command pbr compiles a policy file into routing state and keeps the kernel to it.
package main

import "os"

func main() {
	os.Exit(command{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}.main(os.Args))
}
