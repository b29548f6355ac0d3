package main

import (
	"strings"

	"pbr/cmd/pbr/cli"
	"pbr/compiler/policy"
)

// unknownOption begins what Go's package flag says of an option that a command does not have.
const unknownOption = "flag provided but not defined: -"

// badOption is what an unknown or malformed option gives. The library would print the help as well.
func badOption(ctx *cli.Context, err error, _ bool) error {
	name, isUnknown := strings.CutPrefix(err.Error(), unknownOption)
	if !isUnknown {
		return usageError("%v", err)
	}
	command, flags := "there is", ctx.App.Flags
	if ctx.Command != nil && ctx.Command.Name != ctx.App.Name {
		command, flags = strings.TrimPrefix(ctx.Command.HelpName, "pbr ")+" has", ctx.Command.Flags
	}
	hint := policy.Suggest(name, longNames(flags))
	if !strings.HasPrefix(hint, "did you mean") {
		return usageError("%s no option --%s", command, name)
	}
	return usageError("%s no option --%s: %s", command, name, strings.Replace(hint, `"`, `"--`, 1))
}

// longNames are the names of options that help shows, without the short forms.
func longNames(flags []cli.Flag) (out []string) {
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); !ok || !v.IsVisible() {
			continue
		}
		for _, name := range f.Names() {
			if len(name) > 1 {
				out = append(out, name)
			}
		}
	}
	return out
}
