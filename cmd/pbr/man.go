package main

import (
	"fmt"
	"io"
	"strings"

	"pbr/cmd/pbr/cli"
)

func (c command) manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "print this manual as a man page, or that of one command",
		ArgsUsage: "[COMMAND]",
		Hidden:    true,
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "list", Usage: "print the commands that have a page"}},
		Action: func(ctx *cli.Context) error {
			switch name := ctx.Args().First(); {
			case ctx.Bool("list"):
				for _, cmd := range ctx.App.VisibleCommands() {
					fmt.Fprintln(c.stdout, cmd.Name)
				}
			case name == "":
				writeMan(c.stdout, ctx.App)
			default:
				cmd := ctx.App.Command(name)
				if cmd == nil {
					return usageError("there is no command %q: pbr man --list prints those that have a page", name)
				}
				writeCommandMan(c.stdout, cmd)
			}
			return nil
		},
	}
}

// writeCommandMan prints the manual of one command.
func writeCommandMan(w io.Writer, cmd *cli.Command) {
	fmt.Fprintf(w, ".TH PBR\\-%s 8 \"\" \"pbr\" \"System Administration\"\n", strings.ToUpper(cmd.Name))
	fmt.Fprintf(w, ".SH NAME\npbr\\-%s \\- %s\n", roff(cmd.Name), roff(cmd.Usage))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B pbr\n[\\-\\-config FILE] %s [OPTION...] %s\n", roff(cmd.Name), roff(strings.TrimSpace(cmd.ArgsUsage)))
	if cmd.Description != "" {
		fmt.Fprintf(w, ".SH DESCRIPTION\n%s\n", roff(cmd.Description))
	}
	for _, sub := range cmd.Subcommands {
		fmt.Fprintf(w, ".SS pbr %s %s %s\n%s.\n", roff(cmd.Name), roff(sub.Name),
			roff(strings.TrimSpace(sub.ArgsUsage)), roff(sentence(sub.Usage)))
		writeManFlags(w, sub.VisibleFlags())
	}
	if flags := cmd.VisibleFlags(); len(flags) > 0 {
		fmt.Fprint(w, ".SH OPTIONS\n")
		writeManFlags(w, flags)
	}
	writeExitStatuses(w)
	fmt.Fprint(w, ".SH SEE ALSO\n.BR pbr (8),\n.BR pbr.toml (5)\n")
}

func writeExitStatuses(w io.Writer) {
	fmt.Fprint(w, ".SH EXIT STATUS\n")
	for _, s := range exitStatuses {
		fmt.Fprintf(w, ".TP\n.B %d\n%s\n", s.code, roff(s.meaning))
	}
}

// writeMan prints the manual in man(7) macros, from the same texts as --help.
func writeMan(w io.Writer, app *cli.App) {
	fmt.Fprintf(w, ".TH PBR 8 \"\" \"pbr\" \"System Administration\"\n")
	fmt.Fprintf(w, ".SH NAME\npbr \\- %s\n", roff(app.Usage))
	fmt.Fprintf(w, ".SH SYNOPSIS\n%s\n", roff(app.UsageText))
	fmt.Fprintf(w, ".SH DESCRIPTION\n%s\n", roff(app.Description))
	fmt.Fprint(w, ".SH OPTIONS\n")
	writeManFlags(w, app.VisibleFlags())
	fmt.Fprint(w, ".SH COMMANDS\n")
	for _, cmd := range app.VisibleCommands() {
		fmt.Fprintf(w, ".SS pbr %s\n%s.\n", roff(cmd.Name), roff(sentence(cmd.Usage)))
		if cmd.Description != "" {
			fmt.Fprintf(w, ".PP\n%s\n", roff(cmd.Description))
		}
		writeManFlags(w, cmd.VisibleFlags())
	}
	writeExitStatuses(w)
	fmt.Fprint(w, ".SH FILES\n")
	for _, f := range files {
		fmt.Fprintf(w, ".TP\n.I %s\n%s\n", roff(f.path), roff(f.meaning))
	}
	fmt.Fprint(w, ".SH SEE ALSO\n.BR pbr.toml (5),\n.BR nft (8),\n.BR ip\\-rule (8),\n.BR ip\\-route (8),\n.BR conntrack (8)\n")
}

// files are what the manual names.
var files = []struct{ path, meaning string }{
	{defaultConfig, "The policy; pbr.toml(5) describes it."},
	{"/run/pbr/", "Lock, journal, pbr watch's control socket and the uplinks' last known health; one directory per network namespace."},
	{"/var/lib/pbr/", "State that outlives a reboot; $STATE_DIRECTORY instead if it is set, " +
		"/var/lib/pbr/netns/NAME for a network namespace of that name."},
}

func writeManFlags(w io.Writer, flags []cli.Flag) {
	for _, f := range flags {
		// The library's own text: "--name VALUE, -n VALUE", a tab, what it does.
		names, usage, _ := strings.Cut(f.String(), "\t")
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(names), roff(sentence(usage)))
	}
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// roff escapes text for man(7): backslashes, hyphens that are minus signs, and lines that begin
// like a request; empty lines become paragraphs.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\\`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		switch {
		case line == "":
			lines[i] = ".PP"
		case strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'"):
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
