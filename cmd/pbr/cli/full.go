//go:build !small

// Package cli is the command line's library: github.com/urfave/cli, or in the small build a compact
// one of the same names and texts. The library prints help by text/template, which finds methods by
// name; so the linker must keep every exported method of the program, 2 MB of it.
package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// What pbr uses of the library. What is added here is added to package compact.
type (
	App             = cli.App
	Command         = cli.Command
	Context         = cli.Context
	Flag            = cli.Flag
	VisibleFlag     = cli.VisibleFlag
	BoolFlag        = cli.BoolFlag
	IntFlag         = cli.IntFlag
	StringFlag      = cli.StringFlag
	DurationFlag    = cli.DurationFlag
	StringSliceFlag = cli.StringSliceFlag
)

// HelpFlag is --help, which the library omits where there is a command of that name.
func HelpFlag() Flag { return cli.HelpFlag }

// ShowAppHelp prints the help of the whole program.
func ShowAppHelp(ctx *Context) error { return cli.ShowAppHelp(ctx) }

// The library's texts can only be changed for the whole process.
func init() {
	cli.VersionPrinter = func(ctx *cli.Context) { fmt.Fprintf(ctx.App.Writer, "%s %s\n", ctx.App.Name, ctx.App.Version) }
	text := cli.FlagStringer
	cli.FlagStringer = func(f cli.Flag) string { return withoutEmptyDefault(text(f)) }
}

// withoutEmptyDefault omits a default that says nothing.
func withoutEmptyDefault(s string) string {
	for _, empty := range []string{" (default: false)", " (default: 0s)"} {
		s = strings.TrimSuffix(s, empty)
	}
	return s
}
