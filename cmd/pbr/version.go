package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"pbr/cmd/pbr/cli"
)

// What the linker sets. Without it the version is that of a development build, commit and its date
// those that the compiler notes.
var version, commit, commitDate string

// developmentVersion is that of a build that has no other.
const developmentVersion = "v0.0.0-dev"

// build is what is known of this program's origin; Commit and Date are empty where it is not known.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"`
	// Go is the version of the compiler.
	Go string `json:"go"`
	// Features are what is built in: the platform, the methods of checks, the other features that a
	// build may lack, build tags.
	Features []string `json:"features"`
	// Lacks are the features that are not built in.
	Lacks []string `json:"lacks,omitempty"`
}

func thisBuild() build {
	b := build{Version: version, Commit: commit, Date: commitDate, Go: runtime.Version(),
		Features: []string{runtime.GOOS + "/" + runtime.GOARCH}}
	in, out := features()
	b.Features, b.Lacks = append(b.Features, in...), out
	if b.Version == "" {
		b.Version = developmentVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.time" && b.Date == "":
			b.Date, _, _ = strings.Cut(s.Value, "T")
		case s.Key == "-tags" && s.Value != "":
			b.Features = append(b.Features, ownTags(s.Value)...)
		case s.Key == "-race" && s.Value == "true":
			b.Features = append(b.Features, "race")
		}
	}
	return b
}

// unusedTags leave out parts of libraries that pbr does not use: the cli library's manuals, and
// HTTP/2, as which nobody has to be asked.
var unusedTags = []string{"urfave_cli_no_docs", "nethttpomithttp2", ""}

// ownTags returns the build tags that change what pbr can do.
func ownTags(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(tag string) bool { return slices.Contains(unusedTags, tag) })
}

func (b build) String() string {
	text := b.Version + ", commit unknown"
	if b.Commit != "" {
		text = b.Version + ", commit " + b.Commit[:min(12, len(b.Commit))]
	}
	if b.Date != "" {
		text += " of " + b.Date
	}
	text += ", " + b.Go + "\nbuilt in: " + strings.Join(b.Features, " ")
	if len(b.Lacks) > 0 {
		text += "\nnot built in: " + strings.Join(b.Lacks, " ")
	}
	return text
}

func (c command) versionCommand() *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "print the version, the commit it was built from, the commit's date, Go's version, and what is built in",
		ArgsUsage:   " ",
		Description: "The same as pbr --version.",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(ctx *cli.Context) error {
			if err := noArguments(ctx); err != nil {
				return err
			}
			if ctx.Bool("json") {
				return printJSON(c.stdout, thisBuild())
			}
			_, err := fmt.Fprintf(c.stdout, "pbr %s\n", thisBuild())
			return err
		},
	}
}

func (c command) helpCommand() *cli.Command {
	return &cli.Command{
		Name:        "help",
		Usage:       "list the commands, or describe one of them",
		ArgsUsage:   "[COMMAND]",
		Description: "The same as pbr --help and pbr COMMAND --help.",
		Action: func(ctx *cli.Context) error {
			name := ctx.Args().First()
			switch {
			case ctx.Args().Len() > 1:
				return usageError("help takes one command, but got %d", ctx.Args().Len())
			case name == "", ctx.Command.HasName(name):
				return cli.ShowAppHelp(ctx)
			case ctx.App.Command(name) == nil:
				return unknownCommand(ctx.App, name)
			}
			return ctx.App.Run([]string{ctx.App.Name, name, "--help"}) // the library's own way knows no command's commands
		},
	}
}
