package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"pbr/cmd/pbr/cli"
	"pbr/compiler/policy"
)

// defaultConfig is where the policy file is looked for.
const defaultConfig = "/etc/pbr/pbr.toml"

// configVariable names it too.
const configVariable = "PBR_CONFIG"

// command is the whole program, with its edges given in, so that it runs inside a test.
type command struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// ends means that the process ends with the command.
	ends bool
}

// main runs the program and returns its exit status.
func (c command) main(args []string) int {
	app := c.app()
	return c.exit(app.Run(arranged(app, args)))
}

func (c command) app() *cli.App {
	app := &cli.App{
		Name:      "pbr",
		Usage:     "policy-based routing: which connections leave through which uplink",
		UsageText: "pbr [--config FILE] COMMAND [OPTION...] [ARGUMENT...]",
		Description: "pbr compiles a policy file into nftables chains, ip rules and routes, and\n" +
			"makes the kernel match them through netlink, sending only what differs.\n" +
			"\n" +
			"Every command that prints data takes --json. --config and --json may stand\n" +
			"anywhere, a command's other options before or after its arguments. Colours\n" +
			"are used on a terminal; NO_COLOR turns them off.\n" +
			"\n" +
			"check, compile, explain, graph, lists, doctor, init and import work without\n" +
			"root, and say what they cannot see then. The other commands need root:\n" +
			"CAP_NET_ADMIN, and access to /run/pbr and /var/lib/pbr.",
		Version:         thisBuild().String(),
		HideHelpCommand: true,
		Reader:          c.stdin,
		Writer:          c.stdout,
		ErrWriter:       c.stderr,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Value: defaultConfig, Usage: "the policy `FILE`",
				EnvVars: []string{configVariable}},
			cli.HelpFlag(),
		},
		Commands: []*cli.Command{
			c.checkCommand(), c.compileCommand(), c.applyCommand(), c.confirmCommand(), c.revertCommand(),
			c.diffCommand(), c.explainCommand(), c.graphCommand(), c.connectionsCommand(), c.traceCommand(),
			c.watchCommand(), c.statusCommand(), c.doctorCommand(), c.uplinkCommand(), c.listsCommand(), c.flushCommand(),
			c.initCommand(), c.importCommand(), c.completionCommand(), c.completeCommand(), c.manCommand(),
			c.versionCommand(), c.helpCommand(),
		},
		Action:         c.noCommand,
		OnUsageError:   badOption,
		ExitErrHandler: ofCommand,
	}
	for _, cmd := range app.Commands {
		cmd.OnUsageError, cmd.HideHelpCommand = badOption, true
		namesRefused(cmd.Name, cmd)
	}
	return app
}

// noCommand is what runs when no known command is named.
func (c command) noCommand(ctx *cli.Context) error {
	name := ctx.Args().First()
	if name == "" {
		_ = cli.ShowAppHelp(ctx)
		return exitCode(exitError)
	}
	return unknownCommand(ctx.App, name)
}

// unknownCommand names the command that was meant, or all of them.
func unknownCommand(app *cli.App, name string) error {
	names := []string{}
	for _, cmd := range app.VisibleCommands() {
		names = append(names, cmd.Name)
	}
	text := fmt.Sprintf("there is no command %q; the commands are %s", name, strings.Join(names, ", "))
	if meant := policy.Nearest(name, names); meant != "" {
		text = fmt.Sprintf("there is no command %q: did you mean %q?", name, meant)
	}
	return &misuse{text, "pbr"}
}

// jsonFlag is the option that every command with data to print takes.
func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON"}
}

// colour reports whether w is a terminal whose user wants colours (no-color.org).
func colour(w io.Writer) bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	f, ok := w.(*os.File)
	return ok && isTerminal(f)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Name() != os.DevNull
}
