package compact

import (
	"flag"
	"fmt"
	"io"
	"slices"
)

// Command is one of a program's commands.
type Command struct {
	Name    string
	Aliases []string

	Usage, UsageText, ArgsUsage, Description string

	Subcommands []*Command
	Flags       []Flag
	// SkipFlagParsing takes options for arguments.
	SkipFlagParsing bool
	Hidden          bool
	HideHelpCommand bool

	Action       func(*Context) error
	OnUsageError func(ctx *Context, err error, isSubcommand bool) error

	// HelpName is what help calls it, the program's name included.
	HelpName string

	// app is the root command's.
	app *App
}

// Names are the command's name and its aliases.
func (c *Command) Names() []string { return append([]string{c.Name}, c.Aliases...) }

// HasName reports whether name is one of the command's.
func (c *Command) HasName(name string) bool { return slices.Contains(c.Names(), name) }

// Command returns the command's command of that name, nil if there is none.
func (c *Command) Command(name string) *Command { return named(c.Subcommands, name) }

// VisibleCommands are those that help lists.
func (c *Command) VisibleCommands() []*Command { return visibleCommands(c.Subcommands) }

// VisibleFlags are those that help lists.
func (c *Command) VisibleFlags() []Flag { return visibleFlags(c.Flags) }

func named(commands []*Command, name string) *Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func visibleCommands(commands []*Command) (out []*Command) {
	for _, c := range commands {
		if !c.Hidden {
			out = append(out, c)
		}
	}
	return out
}

// run reads the command's options, the first of arguments being its name, and runs it or the
// command of it that the first argument names.
func (c *Command) run(ctx *Context, arguments []string) error {
	if c.app == nil {
		c.Flags = withFlag(c.Flags, HelpFlag)
		for _, sub := range c.Subcommands {
			sub.HelpName = c.HelpName + " " + sub.Name
		}
	}
	set, err := c.parse(arguments[min(1, len(arguments)):])
	ctx.set = set
	switch {
	case err != nil:
		err = c.OnUsageError(ctx, err, c.app == nil)
		ctx.App.ExitErrHandler(ctx, err)
		return err
	case ctx.has(HelpFlag):
		return c.help(ctx)
	case c.app != nil && ctx.has(versionFlag):
		_, err := fmt.Fprintf(c.app.Writer, "%s %s\n", c.app.Name, c.app.Version)
		return err
	}
	if sub := c.Command(ctx.Args().First()); sub != nil {
		return sub.run(&Context{Context: ctx.Context, App: ctx.App, Command: sub, parent: ctx}, ctx.Args().Slice())
	}
	err = c.Action(ctx)
	ctx.App.ExitErrHandler(ctx, err)
	return err
}

// parse reads options, which end at the first argument. No set comes with an error.
func (c *Command) parse(arguments []string) (*flag.FlagSet, error) {
	set := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range c.Flags {
		f.add(set)
	}
	if c.SkipFlagParsing {
		return set, set.Parse(append([]string{"--"}, arguments...))
	}
	if err := set.Parse(arguments); err != nil {
		return nil, err
	}
	for _, f := range c.Flags {
		if err := unite(set, f); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// unite gives all names of an option the value of the one that was written.
func unite(set *flag.FlagSet, f Flag) error {
	var written *flag.Flag
	for _, name := range f.Names() {
		if !visited(set, name) {
			continue
		}
		if written != nil {
			//lint:ignore ST1005 the library's words
			return fmt.Errorf("Cannot use two forms of the same flag: %s %s", name, written.Name)
		}
		written = set.Lookup(name)
	}
	if written == nil {
		return nil
	}
	for _, name := range f.Names() {
		if name != written.Name {
			if err := set.Set(name, written.Value.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

func visited(set *flag.FlagSet, name string) (found bool) {
	set.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
