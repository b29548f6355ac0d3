package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/compiler"
	"pbr/compiler/from"
	"pbr/compiler/from/mwan3"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// policyName is what warnings about an imported policy call it.
const policyName = "policy"

func (c command) importCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "map",
			Usage:       "`OLD=NEW`: give interface OLD the name NEW; without \"=\", a file of such lines",
			DefaultText: "names stay"},
		jsonFlag(),
	}
	routerOS := &cli.Command{Name: "routeros",
		Usage:     "what /export prints on the router; - is standard input" + omitted(policy.FeatureImportRouterOS),
		ArgsUsage: "FILE|-", Flags: flags,
		Action: c.runImportRouterOS, OnUsageError: badOption, HideHelpCommand: true}
	mwan3 := &cli.Command{Name: "mwan3", Usage: "the directory that holds mwan3 and network, as /etc/config of OpenWrt",
		ArgsUsage: "DIR", Flags: flags,
		Action: c.runImportMWAN3, OnUsageError: badOption, HideHelpCommand: true}
	return &cli.Command{
		Name:      "import",
		Usage:     "turn a RouterOS export or an mwan3 configuration into a policy",
		ArgsUsage: "routeros FILE|- | mwan3 DIR",
		Description: "The policy goes to standard output, a report of what was changed or not\n" +
			"carried over to standard error. Nothing else is read or written, and no root\n" +
			"is needed. Exit status 1 if nothing usable was found.",
		Subcommands: []*cli.Command{routerOS, mwan3},
		Action: func(ctx *cli.Context) error {
			if name := ctx.Args().First(); name != "" {
				hint := "write pbr import routeros FILE, or pbr import mwan3 DIR"
				if meant := policy.Nearest(name, []string{routerOS.Name, mwan3.Name}); meant != "" {
					hint = fmt.Sprintf("did you mean %q?", meant)
				}
				return usageError("import: there is no source %q: %s", name, hint)
			}
			return usageError("import needs a source: write pbr import routeros FILE, or pbr import mwan3 DIR")
		},
	}
}

func (c command) runImportRouterOS(ctx *cli.Context) error {
	name, rename, err := importArguments(ctx, "FILE")
	if err != nil {
		return err
	}
	text, display, err := c.readImport(name)
	if err != nil {
		return err
	}
	result, err := importRouterOS(text, from.Options{File: display, Rename: rename})
	if err != nil {
		return err
	}
	return c.printImport(ctx, display, result)
}

func (c command) runImportMWAN3(ctx *cli.Context) error {
	dir, rename, err := importArguments(ctx, "DIR")
	if err != nil {
		return err
	}
	files := mwan3.Files{MWAN3Name: filepath.Join(dir, "mwan3"), NetworkName: filepath.Join(dir, "network")}
	if files.MWAN3, err = os.ReadFile(files.MWAN3Name); err != nil {
		return fmt.Errorf("reading the configuration: %w: name the directory that holds the file mwan3", err)
	}
	if files.Network, err = os.ReadFile(files.NetworkName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	result, err := mwan3.Import(files, from.Options{File: filepath.Clean(dir), Rename: rename})
	if err != nil {
		return err
	}
	return c.printImport(ctx, filepath.Clean(dir), result)
}

// importArguments are the one argument and the interfaces' names of --map.
func importArguments(ctx *cli.Context, what string) (name string, rename map[string]string, err error) {
	if ctx.Args().Len() != 1 || ctx.Args().First() == "" {
		return "", nil, usageError("import %s takes one %s, but got %d arguments", ctx.Command.Name, what, ctx.Args().Len())
	}
	rename = map[string]string{}
	for _, m := range ctx.StringSlice("map") {
		if err := addRename(rename, m); err != nil {
			return "", nil, err
		}
	}
	return ctx.Args().First(), rename, nil
}

// addRename adds one --map, or a file of them.
func addRename(rename map[string]string, m string) error {
	if strings.Contains(m, "=") {
		return addPair(rename, m, "--map "+m)
	}
	text, err := os.ReadFile(m)
	if err != nil {
		return fmt.Errorf("--map %s: %w: write OLD=NEW, or name a file of such lines", m, err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := addPair(rename, line, fmt.Sprintf("%s:%d", m, i+1)); err != nil {
			return err
		}
	}
	return nil
}

func addPair(rename map[string]string, pair, place string) error {
	name, other, ok := strings.Cut(pair, "=")
	name, other = strings.TrimSpace(name), strings.TrimSpace(other)
	if !ok || name == "" || other == "" {
		return usageError("%s: want OLD=NEW, such as ether1=eth0", from.Printable(place))
	}
	if before, twice := rename[name]; twice && before != other {
		return usageError("%s: interface %q already becomes %q", from.Printable(place), name, before)
	}
	rename[name] = other
	return nil
}

// readImport reads a file, or standard input.
func (c command) readImport(name string) (text []byte, display string, err error) {
	if name == "-" {
		text, err = io.ReadAll(c.stdin)
		return text, "stdin", err
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("reading the export: %w", err)
	case info.IsDir():
		return nil, "", fmt.Errorf("%s is a directory: name the file that /export wrote", name)
	}
	text, err = os.ReadFile(name)
	return text, filepath.Clean(name), err
}

// importedStatement is a statement in JSON.
type importedStatement struct {
	File    string       `json:"file,omitempty"`
	Line    int          `json:"line"`
	Section string       `json:"section"`
	Text    string       `json:"text"`
	Outcome from.Outcome `json:"outcome"`
	Became  []string     `json:"became"`
	Note    string       `json:"note"`
}

// printImport prints the policy, and the report or both as JSON. A policy that check would refuse
// is a mistake of the importer's.
func (c command) printImport(ctx *cli.Context, display string, result *from.Result) error {
	warnings, err := judgeImport(result.Policy)
	if err != nil {
		return err
	}
	if ctx.Bool("json") {
		out := struct {
			Policy     string              `json:"policy"`
			Statements []importedStatement `json:"statements"`
		}{result.Policy, make([]importedStatement, 0, len(result.Statements))}
		for _, s := range result.Statements {
			became := s.Became
			if became == nil {
				became = []string{}
			}
			text, _ := s.Show()
			out.Statements = append(out.Statements, importedStatement{s.File, s.Line, s.Section, text, s.Outcome(), became, s.Note()})
		}
		return printJSON(c.stdout, out)
	}
	if _, err := io.WriteString(c.stdout, result.Policy); err != nil {
		return err
	}
	_, err = io.WriteString(c.stderr, result.Report(display, warnings))
	return err
}

// aboutImported is a warning about the policy, which goes to standard output and has no name yet.
func aboutImported(d policy.Diagnostic) string {
	at := "the policy"
	if d.Pos.Line > 0 {
		at = fmt.Sprintf("the policy's line %d", d.Pos.Line)
	}
	d.Pos = policy.Pos{File: at}
	return d.Error()
}

// judgeImport checks a policy as check does, and returns its warnings.
func judgeImport(text string) (warnings []string, err error) {
	doc, ds := policy.Parse(applied.OneFile(policyName, text), policyName, policyName)
	if !ds.HasErrors() {
		ds = append(ds, compiler.Problems(doc, plan.HostFacts{})...)
	}
	ds.Sort()
	var wrong bytes.Buffer
	for _, d := range ds {
		if d.Severity == policy.Error {
			fmt.Fprintf(&wrong, "\n  %s", from.Printable(d.Error()))
			continue
		}
		warnings = append(warnings, aboutImported(d))
	}
	if wrong.Len() > 0 {
		return nil, fmt.Errorf("import: the resulting policy is invalid, which is a bug in pbr; nothing was printed:%s", wrong.String())
	}
	return warnings, nil
}
