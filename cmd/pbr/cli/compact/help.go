package compact

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// helpName is the option and the command that show help.
const helpName = "help"

// help prints the command's help, or that of the command that the first argument names. Of a
// command named help it is the help of what that is a command of.
func (c *Command) help(ctx *Context) error {
	name := ctx.Args().First()
	if c.Name == helpName {
		c, ctx = ctx.parent.Command, ctx.parent
	}
	switch {
	case name != "":
		return showCommandHelp(ctx, name)
	case c.app != nil:
		return ShowAppHelp(ctx)
	}
	return c.printHelp(ctx.App.Writer)
}

// ShowAppHelp prints the help of the whole program.
func ShowAppHelp(ctx *Context) error {
	a := ctx.App
	return page(a.Writer, "NAME:\n   "+summary(a.Name, a.Usage), "USAGE:\n   "+hang(a.UsageText, 3), section("VERSION:\n   ", a.Version),
		section("DESCRIPTION:\n   ", hang(a.Description, 3)), commandList(a.VisibleCommands()),
		flagList("GLOBAL OPTIONS:", a.VisibleFlags()))
}

func showCommandHelp(ctx *Context, name string) error {
	commands := ctx.App.Commands
	if ctx.Command.Subcommands != nil {
		commands = ctx.Command.Subcommands
	}
	c := named(commands, name)
	if c == nil {
		//lint:ignore ST1005 the library's words
		return fmt.Errorf("No help topic for '%v'", name)
	}
	c.Flags = withFlag(c.Flags, HelpFlag)
	return c.printHelp(ctx.App.Writer)
}

func (c *Command) printHelp(w io.Writer) error {
	return page(w, "NAME:\n   "+summary(c.HelpName, c.Usage), "USAGE:\n   "+c.usage(), section("DESCRIPTION:\n   ", hang(c.Description, 3)),
		commandList(c.VisibleCommands()), flagList("OPTIONS:", c.VisibleFlags()))
}

// page prints sections with an empty line between them, and aligns the uses of options.
func page(w io.Writer, sections ...string) error {
	tabs := tabwriter.NewWriter(w, 1, 8, 2, ' ', 0)
	written := []string{}
	for _, s := range sections {
		if s != "" {
			written = append(written, s)
		}
	}
	fmt.Fprintln(tabs, strings.Join(written, "\n\n"))
	return tabs.Flush()
}

// section returns a title with its text, "" without a text.
func section(title, text string) string {
	if text == "" {
		return ""
	}
	return title + text
}

// summary is a name and its use.
func summary(name, usage string) string {
	if usage == "" {
		return name
	}
	return name + " - " + hang(usage, len(name)+6)
}

func (c *Command) usage() string {
	if c.UsageText != "" {
		return hang(c.UsageText, 3)
	}
	text := c.HelpName
	if len(c.VisibleFlags()) > 0 {
		text += " [command options]"
	}
	return text + section(" ", c.ArgsUsage)
}

// commandList lists commands, with their uses aligned.
func commandList(commands []*Command) string {
	if len(commands) == 0 {
		return ""
	}
	width := 0
	for _, c := range commands {
		width = max(width, len(strings.Join(c.Names(), ", ")))
	}
	var b strings.Builder
	b.WriteString("COMMANDS:")
	for _, c := range commands {
		fmt.Fprintf(&b, "\n   %-*s%s", width+2, strings.Join(c.Names(), ", "), hang(c.Usage, width+5))
	}
	return b.String()
}

// flagList lists options; page aligns their uses.
func flagList(title string, flags []Flag) string {
	if len(flags) == 0 {
		return ""
	}
	for _, f := range flags {
		title += "\n   " + hang(f.String(), 6)
	}
	return title
}

// hang indents all lines but the first; empty ones stay empty.
func hang(text string, indent int) string {
	lines := strings.Split(text, "\n")
	for i := 1; i < len(lines); i++ {
		if lines[i] != "" {
			lines[i] = strings.Repeat(" ", indent) + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}
