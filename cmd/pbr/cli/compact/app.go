// Package compact does what pbr uses of github.com/urfave/cli/v2, with the same names and the same
// texts, without text/template. The small build has it in place of that library; a test holds the
// two together.
package compact

import (
	"context"
	"errors"
	"io"
)

// App is a program of commands. Its fields are those of the library, which Command has too.
type App struct {
	Name, Usage, UsageText, Description, Version string

	Commands []*Command
	Flags    []Flag
	// HideHelpCommand has to be true: there is no other way here.
	HideHelpCommand bool

	Reader            io.Reader
	Writer, ErrWriter io.Writer

	Action         func(*Context) error
	OnUsageError   func(ctx *Context, err error, isSubcommand bool) error
	ExitErrHandler func(*Context, error)
}

// Run runs the command that arguments name; the first of them is the program.
func (a *App) Run(arguments []string) error {
	for _, c := range a.Commands {
		c.HelpName = a.Name + " " + c.Name
	}
	if a.Command(helpName) == nil {
		a.Flags = withFlag(a.Flags, HelpFlag)
	}
	a.Flags = withFlag(a.Flags, versionFlag)
	root := &Command{Name: a.Name, HelpName: a.Name, Flags: a.Flags, Subcommands: a.Commands, Action: a.Action,
		OnUsageError: a.OnUsageError, app: a}
	if !a.HideHelpCommand {
		return errors.New("the compact command line has no help command of its own")
	}
	return root.run(&Context{Context: context.Background(), App: a, Command: root}, arguments)
}

// Command returns the command of that name, nil if there is none.
func (a *App) Command(name string) *Command { return named(a.Commands, name) }

// VisibleCommands are those that help lists.
func (a *App) VisibleCommands() []*Command { return visibleCommands(a.Commands) }

// VisibleFlags are those that help lists.
func (a *App) VisibleFlags() []Flag { return visibleFlags(a.Flags) }
