package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"pbr/cmd/pbr/cli"
)

// Exit statuses, as documented in the manual.
const (
	exitOK      = 0
	exitError   = 1
	exitDiffers = 2  // diff: live state is not what the policy plans
	exitDown    = 3  // status: an uplink is not in use
	exitMissing = 4  // apply --wait: something is still missing
	exitPolicy  = 78 // watch, started by systemd: the policy is broken (EX_CONFIG of sysexits(3))
)

// exitStatuses is the manual's account of them.
var exitStatuses = []struct {
	code    int
	meaning string
}{
	{exitOK, "Success; for diff: nothing differs."},
	{exitError, "An error in the policy, on the command line, or from the kernel. It is printed to standard error."},
	{exitDiffers, "diff only: live and planned state differ."},
	{exitDown, "status only: an uplink is down, degraded, or was taken out of use, or the policy is not in force."},
	{exitMissing, "apply --wait only: an interface, an address or a gateway is still missing; the rest was applied."},
	{exitPolicy, "watch only, started by systemd: the policy file has errors. pbr.service is not started again until somebody starts it."},
}

// exitCode is an error that only sets the exit status: everything was said already.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// exit maps an error to the program's exit status and prints it, unless it was printed already. The
// library's own codes (3 for an unknown command) would collide with ours.
func (c command) exit(err error) int {
	var code exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(c.stderr, told(c.stderr, "pbr: "+rootHint(err)))
	return exitError
}

// forManager tells of what is wrong with the policy of a watch that starts. The service manager
// does not start it again by itself then, as that would not help.
func (c command) forManager(err error) error {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return err
	}
	_ = c.exit(err)
	return exitCode(exitPolicy)
}

// misuse is a mistake in the command line.
type misuse struct {
	text string
	// command is the one whose help explains more, as "pbr lists add".
	command string
}

func (m *misuse) Error() string { return m.text + "; see " + cmp.Or(m.command, "pbr") + " --help" }

// usageError is a mistake in the command line, of a command that ofCommand adds.
func usageError(format string, args ...any) error {
	return &misuse{fmt.Sprintf(format, args...), ""}
}

// ofCommand is the library's handler of errors: it tells a mistake which command it was.
func ofCommand(ctx *cli.Context, err error) {
	var m *misuse
	if errors.As(err, &m) && m.command == "" && ctx.Command != nil {
		m.command = ctx.Command.HelpName
	}
}

// noArguments refuses arguments that a command does not take.
func noArguments(ctx *cli.Context) error {
	first := ctx.Args().First()
	switch {
	case first == "":
		return nil
	case strings.HasSuffix(first, ".toml"):
		return usageError("%s takes no argument, but got %q: name the policy file before the command, pbr "+
			"--config %s %s", ctx.Command.Name, first, first, ctx.Command.Name)
	}
	return usageError("%s takes no argument, but got %q", ctx.Command.Name, first)
}
