package main

import (
	"slices"
	"strings"

	"pbr/cmd/pbr/cli"
)

// arranged puts a command line into the order that the library wants, which stops looking for
// options at the first argument: --config in front, the command, its options, its arguments. People
// may write --config, --json and --help anywhere, and a command's other options before or after its
// arguments. What follows "--" are arguments.
func arranged(app *cli.App, args []string) []string {
	if len(args) == 0 || args[len(args)-1] == "--generate-bash-completion" {
		return args
	}
	a := &arrangement{commands: app.Commands, rest: args[1:]}
	for len(a.rest) > 0 {
		word := a.take()
		switch {
		case word == "--":
			a.arguments, a.rest, a.marked = append(a.arguments, a.rest...), nil, true
		case len(word) > 1 && word[0] == '-':
			a.option(word)
		default:
			a.word(word)
		}
	}
	out := slices.Concat(args[:1], a.front, a.path, a.options)
	if a.marked {
		out = append(out, "--")
	}
	return append(out, a.arguments...)
}

// arrangement is a command line in its parts.
type arrangement struct {
	rest []string
	// commands are those that the next word may name; flags are the options of the one named last.
	commands []*cli.Command
	flags    []cli.Flag

	front, path, options, arguments []string
	// marked reports that "--" was there.
	marked bool
}

func (a *arrangement) take() string {
	word := a.rest[0]
	a.rest = a.rest[1:]
	return word
}

// word takes a command's name, or an argument.
func (a *arrangement) word(word string) {
	at := slices.IndexFunc(a.commands, func(c *cli.Command) bool { return c.HasName(word) })
	switch {
	case at >= 0 && len(a.arguments) == 0:
		a.path = append(a.path, word)
		a.flags, a.commands = a.commands[at].Flags, a.commands[at].Subcommands
	case len(a.path) == 0:
		a.path, a.commands = append(a.path, word), nil // it is none; the library says so
	default:
		a.arguments = append(a.arguments, word)
	}
}

// option takes an option with its value.
func (a *arrangement) option(word string) {
	name, _, attached := strings.Cut(strings.TrimLeft(word, "-"), "=")
	switch {
	case name == "config" || name == "c":
		if !attached && !a.valueFollows() {
			word, attached = word+"=", true // names no file, and does not take the command for one
		}
		a.front = append(a.front, word)
		if !attached {
			a.front = append(a.front, a.take())
		}
	case len(a.path) == 0 && name != "json" && name != "help" && name != "h":
		a.front = append(a.front, word)
	default:
		a.options = append(a.options, word)
		switch {
		case attached || !hasValue(a.flags, name):
		case a.valueFollows():
			a.options = append(a.options, a.take())
		default: // its value is missing, and no argument before it, or option behind it, is that
			a.arguments, a.rest, a.marked = nil, nil, false
		}
	}
}

// valueFollows reports whether the next word may be an option's value. Another option is none: a
// value that looks like one is written --NAME=VALUE.
func (a *arrangement) valueFollows() bool {
	if len(a.rest) == 0 {
		return false
	}
	next := a.rest[0]
	return len(next) < 2 || next[0] != '-' || next[1] >= '0' && next[1] <= '9'
}

// hasValue reports whether one of the flags has that name and wants a value.
func hasValue(flags []cli.Flag, name string) bool {
	for _, f := range flags {
		if _, is := f.(*cli.BoolFlag); slices.Contains(f.Names(), name) {
			return !is
		}
	}
	return false
}
