package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"pbr/cmd/pbr/cli"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/kernel"
	"pbr/render"
)

// A format is one way to print a plan.
type format struct {
	name  string // of --format
	file  string // with -o DIR
	mode  os.FileMode
	print func(io.Writer, *plan.Plan) error
}

// formatDnsmasq is made of the policy's names alone.
const formatDnsmasq = "dnsmasq"

var formats = []format{
	{"script", "pbr.sh", 0o755, render.Script},
	{"nft", "pbr.nft", 0o644, render.NFT},
	{"ip", "pbr.ip", 0o644, render.IP},
	{"json", "plan.json", 0o644, render.JSON},
}

func (c command) compileCommand() *cli.Command {
	return &cli.Command{
		Name:      "compile",
		Usage:     "print the whole plan, changing nothing",
		ArgsUsage: " ",
		Description: "Prints a shell script of nft, ip and sysctl commands that does what apply\n" +
			"does through netlink. You can read it and run it as it is. It needs no root\n" +
			"and no kernel, and prints the same bytes on every machine: the script looks\n" +
			"up what depends on the machine (addresses of the uplinks, gateway \"auto\")\n" +
			"when it runs. With --live this is taken from this machine now, and parts that\n" +
			"need a missing interface are skipped.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "the only mode: compile never changes anything"},
			&cli.StringFlag{Name: "format", Value: "script",
				Usage: "`FORMAT` of the output: script, nft (nft -f loads it), ip (ip rule and ip route commands, one a line), " +
					"dnsmasq (makes dnsmasq fill lists of domains), or json (as --json)"},
			jsonFlag(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write pbr.sh, pbr.nft, pbr.ip and plan.json into `DIR`"},
			&cli.BoolFlag{Name: "live", Usage: "compile for this machine as it is now"},
		},
		Action: c.runCompile,
	}
}

func (c command) runCompile(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	dnsmasq := ctx.String("format") == formatDnsmasq && !ctx.Bool("json")
	chosen, err := chooseFormat(ctx)
	if err != nil && !dnsmasq {
		return err
	}
	c.spareCollector(fileOf(ctx))
	f, err := load(ctx)
	if err != nil {
		return err
	}
	if dnsmasq {
		if err := c.report(f, f.diagnostics); err != nil {
			return err
		}
		return printDnsmasq(c.stdout, f.doc)
	}
	host := anyMachine()
	if ctx.Bool("live") {
		if host, err = kernel.ReadHostFacts(compiler.Needs(f.doc)); err != nil {
			return err
		}
	}
	p, err := c.compile(f, &situation{host: host})
	if err != nil {
		return err
	}
	if dir := ctx.String("output"); dir != "" {
		return c.writeFiles(dir, p)
	}
	return chosen.print(c.stdout, p)
}

func chooseFormat(ctx *cli.Context) (format, error) {
	name := ctx.String("format")
	if ctx.Bool("json") {
		if ctx.IsSet("format") && name != "json" {
			return format{}, usageError("--json and --format %s exclude each other", name)
		}
		name = "json"
	}
	for _, f := range formats {
		if f.name == name {
			return f, nil
		}
	}
	return format{}, usageError("there is no format %q: use script, nft, ip, json or dnsmasq", name)
}

func (c command) writeFiles(dir string, p *plan.Plan) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("creating the output directory: %w", err)
	}
	for _, f := range formats {
		var text bytes.Buffer
		if err := f.print(&text, p); err != nil {
			return err
		}
		path := filepath.Join(dir, f.file)
		if err := os.WriteFile(path, text.Bytes(), f.mode); err != nil {
			return fmt.Errorf("writing the plan: %w", err)
		}
		if err := os.Chmod(path, f.mode); err != nil {
			return fmt.Errorf("writing the plan: %w", err)
		}
		fmt.Fprintln(c.stdout, path)
	}
	return nil
}
