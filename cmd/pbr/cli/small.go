//go:build small

// Package cli is the command line's library: here the compact one of the small build (see full.go).
package cli

import "pbr/cmd/pbr/cli/compact"

// What pbr uses of the library.
type (
	App             = compact.App
	Command         = compact.Command
	Context         = compact.Context
	Flag            = compact.Flag
	VisibleFlag     = compact.VisibleFlag
	BoolFlag        = compact.BoolFlag
	IntFlag         = compact.IntFlag
	StringFlag      = compact.StringFlag
	DurationFlag    = compact.DurationFlag
	StringSliceFlag = compact.StringSliceFlag
)

// HelpFlag is --help.
func HelpFlag() Flag { return compact.HelpFlag }

// ShowAppHelp prints the help of the whole program.
func ShowAppHelp(ctx *Context) error { return compact.ShowAppHelp(ctx) }
