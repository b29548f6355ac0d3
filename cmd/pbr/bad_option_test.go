package main

import (
	"testing"

	"pbr/cmd/pbr/cli"
)

// Each option that takes a value says in its help what, by a word that messages know.
func TestOptionValues(t *testing.T) {
	app := command{}.app()
	known := 0
	look := func(command string, flags []cli.Flag) {
		for _, f := range flags {
			v, is := f.(cli.VisibleFlag)
			if _, isSwitch := f.(*cli.BoolFlag); isSwitch || !is || !v.IsVisible() {
				continue
			}
			known++
			if optionValues.Get()[placeholder(f)].needs == "" {
				t.Errorf("%s %s: no words for the value %q", command, f.Names()[0], placeholder(f))
			}
		}
	}
	look("pbr", app.Flags)
	for _, c := range app.Commands {
		look(c.Name, c.Flags)
		for _, sub := range c.Subcommands {
			look(c.Name+" "+sub.Name, sub.Flags)
		}
	}
	if known < 20 {
		t.Errorf("%d options with values", known)
	}
}
