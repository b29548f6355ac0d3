package main

import (
	"errors"
	"io/fs"
	"os"

	"pbr/cmd/pbr/cli"
)

// withoutRoot says what somebody can do who may not run a command: the kernel's nftables, and what
// pbr keeps in /run/pbr and /var/lib/pbr, are for root.
var withoutRoot = map[string]string{
	"apply":       "pbr check, pbr compile --dry-run",
	"connections": "pbr explain --offline",
	"diff":        "pbr compile --dry-run",
	"lists":       "pbr lists shows sources and entries",
	"status":      "pbr graph, pbr explain --offline",
	"trace":       "pbr explain --offline",
	"watch":       "pbr check",
}

// refused is a missing permission that ends a command.
type refused struct {
	error
	command string
}

func (r *refused) Unwrap() error { return r.error }

// namesRefused has a command and those below it name themselves when they lack a permission.
func namesRefused(name string, cmd *cli.Command) {
	if action := cmd.Action; action != nil {
		cmd.Action = func(ctx *cli.Context) error {
			err := action(ctx)
			if errors.Is(err, fs.ErrPermission) {
				return &refused{err, name}
			}
			return err
		}
	}
	for _, sub := range cmd.Subcommands {
		namesRefused(name, sub)
	}
}

// withRootHint words an error, and says that root is needed where a user without it was refused,
// and what works without.
func withRootHint(err error, euid int) string {
	if euid == 0 || !errors.Is(err, fs.ErrPermission) {
		return err.Error()
	}
	text := err.Error() + ": run this command as root (sudo)"
	var r *refused
	if errors.As(err, &r) && withoutRoot[r.command] != "" {
		text += "; without root: " + withoutRoot[r.command]
	}
	return text
}

// rootHint is withRootHint for this process.
func rootHint(err error) string { return withRootHint(err, os.Geteuid()) }
