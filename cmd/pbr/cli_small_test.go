//go:build !small

package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/cli/compact"
)

// commandLines are what people may write behind pbr, a line each, a word between two blanks.
const commandLines = `
--
-- check
-
---x
-h
-h=x
--help=false check
--help nobody
--bogus check
-v
--version
-v check
-c
--config
--config=/a check
-c /a --config /b check
--config /a --config /b lists add x
check -c /a
nobody
nobody --help
help a b
check  x
check a -- --strict
check --strict -- -x
check --strict=2
check -=
check apply --help
check nobody -h
lists nobody --help
lists add help
lists h
list delete x y
lists add x --for 30m
lists add --for
lists --json add
compile -n --dry-run
compile -n=maybe
compile -n=false --output x
compile -o x --output y
trace --count 0x10 --time 1m
trace --count x
trace --count 99999999999999999999
trace --time 5
apply --wait
apply --wait=
apply --lock-wait 0s --confirm 60s
import mwan3 --map
import mwan3 --map a=b,c=d --map e dir
complete -- lists --json x
complete -x --help`

// The command line of the small build is that of the full one: help, errors, options, arguments.
func TestSmallCommandLine(t *testing.T) {
	lines := strings.Split(commandLines, "\n")
	for _, c := range (command{}).app().Commands {
		lines = append(lines, c.Name+" --help", "-h "+c.Name, c.Name+" x --json", c.Name+" --bogus")
		for _, sub := range c.Subcommands {
			lines = append(lines, c.Name+" "+sub.Name+" --help", c.Name+" "+sub.Name+" -x y")
		}
	}
	for _, file := range []string{"", "/etc/other.toml"} {
		if file != "" {
			t.Setenv(configVariable, file)
		}
		for _, line := range lines {
			args := arranged((command{}).app(), strings.Split(strings.TrimSpace("pbr "+line), " "))
			if want, have := runFull(args), runCompact(args); have != want {
				t.Errorf("%s=%s pbr %q in the small build:\n%s\nin the full one:\n%s", configVariable, file, line, have, want)
			}
		}
	}
}

// runFull returns what the library prints of a command line, and what a command is given.
func runFull(args []string) string {
	var out bytes.Buffer
	app := command{stdout: &out, stderr: &out}.app()
	app.Action = func(ctx *cli.Context) error { return given(&out, ctx, ctx.Command.Name, ctx.Args().Slice()) }
	app.OnUsageError = func(ctx *cli.Context, err error, _ bool) error {
		return badLine(err, ctx.Command.HelpName, ctx.Command.Flags)
	}
	replaceActions(app.Commands, app)
	err := app.Run(args)
	return fmt.Sprintf("%s%v", &out, err)
}

// replaceActions gives all commands the actions of app.
func replaceActions(commands []*cli.Command, app *cli.App) {
	for _, c := range commands {
		c.Action, c.OnUsageError = app.Action, app.OnUsageError
		replaceActions(c.Subcommands, app)
	}
}

// badLine is what happens to a wrong command line.
func badLine[F fmt.Stringer](err error, command string, flags []F) error {
	return fmt.Errorf("%s: %w, with %d options, the last %v", command, err, len(flags), flags[len(flags)-1])
}

// runCompact is the same by the library of the small build.
func runCompact(args []string) string {
	var out bytes.Buffer
	full := command{}.app()
	app := &compact.App{Name: full.Name, Usage: full.Usage, UsageText: full.UsageText, Description: full.Description,
		Version: full.Version, HideHelpCommand: full.HideHelpCommand, Writer: &out, ErrWriter: &out, OnUsageError: badLineCompact,
		ExitErrHandler: func(*compact.Context, error) {}, Flags: compactFlags(full.Flags)}
	app.Action = func(ctx *compact.Context) error { return given(&out, ctx, ctx.Command.Name, ctx.Args().Slice()) }
	app.Commands = compactCommands(full.Commands, app.Action)
	err := app.Run(args)
	return fmt.Sprintf("%s%v", &out, err)
}

func badLineCompact(ctx *compact.Context, err error, _ bool) error {
	return badLine(err, ctx.Command.HelpName, ctx.Command.Flags)
}

// compactCommands has the full build's commands in the small build's types.
func compactCommands(commands []*cli.Command, action func(*compact.Context) error) (out []*compact.Command) {
	for _, c := range commands {
		out = append(out, &compact.Command{Name: c.Name, Aliases: c.Aliases, Usage: c.Usage, UsageText: c.UsageText, ArgsUsage: c.ArgsUsage,
			Description: c.Description, SkipFlagParsing: c.SkipFlagParsing, Hidden: c.Hidden, HideHelpCommand: c.HideHelpCommand,
			Action: action, OnUsageError: badLineCompact, Flags: compactFlags(c.Flags),
			Subcommands: compactCommands(c.Subcommands, action)})
	}
	return out
}

func compactFlags(flags []cli.Flag) (out []compact.Flag) {
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.BoolFlag:
			if slices.Contains(f.Names(), "help") {
				out = append(out, compact.HelpFlag)
				continue
			}
			out = append(out, &compact.BoolFlag{Name: f.Name, Aliases: f.Aliases, Usage: f.Usage, Hidden: f.Hidden})
		case *cli.IntFlag:
			out = append(out, &compact.IntFlag{Name: f.Name, Aliases: f.Aliases, Usage: f.Usage, Hidden: f.Hidden, Value: f.Value})
		case *cli.StringFlag:
			out = append(out, &compact.StringFlag{Name: f.Name, Aliases: f.Aliases, Usage: f.Usage, Hidden: f.Hidden,
				Value: f.Value, EnvVars: f.EnvVars})
		case *cli.DurationFlag:
			out = append(out, &compact.DurationFlag{Name: f.Name, Aliases: f.Aliases, Usage: f.Usage, Hidden: f.Hidden, Value: f.Value})
		case *cli.StringSliceFlag:
			out = append(out, &compact.StringSliceFlag{Name: f.Name, Aliases: f.Aliases, Usage: f.Usage, Hidden: f.Hidden,
				DefaultText: f.DefaultText})
		default:
			panic(fmt.Sprintf("package compact has no %T", f))
		}
	}
	return out
}

// values are what an action may ask for, in either library.
type values interface {
	IsSet(string) bool
	Bool(string) bool
	Int(string) int
	String(string) string
	Duration(string) time.Duration
	StringSlice(string) []string
}

// given prints what an action is given.
func given(out *bytes.Buffer, ctx values, name string, args []string) error {
	fmt.Fprintf(out, "%s %q\n", name, args)
	for _, option := range strings.Fields("config c json strict for dry-run n output o count time wait lock-wait map") {
		fmt.Fprintf(out, "%s %v %v %q\n", option, ctx.IsSet(option), ctx.Bool(option), ctx.String(option))
	}
	fmt.Fprintln(out, ctx.Int("count"), ctx.Duration("time"), ctx.Duration("wait"), ctx.Duration("lock-wait"), ctx.StringSlice("map"))
	return nil
}
