package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/sources"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/state"
	"pbr/render"
)

// policyFile is a policy file as it was read.
type policyFile struct {
	// display is the name as the user wrote it.
	display string
	// assertions is the name of the file that check --expect was given, empty without.
	assertions  string
	text        *applied.Policy
	doc         *policy.Document
	diagnostics policy.Diagnostics
	// compiler remembers, for this document, most of what compiling is; nil until it is asked for.
	compiler *compiler.Compiler
}

// compiled returns the document's compiler.
func (f *policyFile) compiled() *compiler.Compiler {
	if f.compiler == nil {
		f.compiler = compiler.New(f.doc)
	}
	return f.compiler
}

// load parses the policy file for a command that acts on it: errors only, warnings are check's. A
// file that cannot be read at all is an error of its own.
func load(ctx *cli.Context) (*policyFile, error) {
	return loadWith(ctx, policy.Options{ErrorsOnly: true})
}

func loadWith(ctx *cli.Context, options policy.Options) (*policyFile, error) {
	display, err := configName(ctx)
	if err != nil {
		return nil, err
	}
	return loadFile(display, display, options)
}

// loadFile parses a file that users know by a name.
func loadFile(file, display string, options policy.Options) (*policyFile, error) {
	f := &policyFile{display: display}
	var err error
	options.Lack, options.Fetched = lack, fetchedDir()
	f.text, f.doc, f.diagnostics, err = applied.Read(file, display, options)
	return f, err
}

// loadAgain parses a policy that was read before.
func loadAgain(p *applied.Policy) *policyFile {
	f := &policyFile{display: p.Name, text: p}
	f.doc, f.diagnostics = p.Parse(policy.Options{ErrorsOnly: true, Lack: lack, Fetched: fetchedDir()})
	return f
}

// fetchedDir is where the texts of lists' URLs are kept in this network namespace.
func fetchedDir() string { return sources.Open(state.Find(kernel.RunDir())).Path() }

// configName is the policy file's name. An empty PBR_CONFIG names none.
func configName(ctx *cli.Context) (string, error) {
	name := ctx.String("config")
	if name != "" {
		return name, nil
	}
	if env, set := os.LookupEnv(configVariable); set && env == "" {
		return defaultConfig, nil
	}
	return "", usageError("--config needs a file")
}

// loadValid is load for commands that need a valid file; what is wrong with it is reported.
func (c command) loadValid(ctx *cli.Context) (*policyFile, error) {
	f, err := load(ctx)
	if err == nil {
		err = c.report(f, f.diagnostics)
	}
	return f, err
}

// withPolicy does something with a valid policy file and this network namespace's kernel; what is
// wrong with the file is reported, and first which one is in force, if that is another one: such a
// file is compared with it, which is how to try one.
func (c command) withPolicy(ctx *cli.Context, do func(*policyFile, *kernel.Kernel) error) error {
	return withKernel(func(k *kernel.Kernel) error {
		f, err := load(ctx)
		if other := otherInForce(ctx, k, f); other != nil {
			fmt.Fprintf(c.stderr, "pbr: note: compared with the kernel, where %s is in force\n", other.name)
		}
		if err == nil {
			err = c.report(f, f.diagnostics)
		}
		if err != nil {
			return err
		}
		return do(f, k)
	})
}

// compileNow compiles the policy for this machine as it is now, and the uplinks as a running watch
// has them, or the last one left them. It returns that, too.
func (c command) compileNow(f *policyFile, k *kernel.Kernel) (*situation, *plan.Plan, error) {
	now, err := c.readSituation(f.doc, k)
	if err != nil {
		return nil, nil, err
	}
	want, err := c.compile(f, now)
	if err == nil {
		c.reportLastHealth(now.lastHealth)
	}
	return now, want, err
}

// compile turns the policy into a plan for host facts and the uplinks that are down. It reports
// what is wrong with the policy, including warnings.
func (c command) compile(f *policyFile, now *situation) (*plan.Plan, error) {
	ds := f.diagnostics
	var p *plan.Plan
	if !ds.HasErrors() {
		var problems policy.Diagnostics
		p, problems = f.compiled().Compile(now.host, now.down())
		ds = append(ds, problems...)
	}
	if err := c.report(f, ds); err != nil {
		return nil, err
	}
	return p, nil
}

// anyMachine has no host facts, but the present time and this machine's time zone.
func anyMachine() plan.HostFacts { return plan.HostFacts{Now: time.Now(), Zone: kernel.LocalZone()} }

// report prints diagnostics; the error, if any of them is one, only sets the exit status.
func (c command) report(f *policyFile, ds policy.Diagnostics) error {
	ds.Sort()
	if err := render.Diagnostics(c.stderr, ds, f.text.Source, colour(c.stderr), columns(c.stderr)); err != nil {
		return err
	}
	if ds.HasErrors() {
		return exitCode(exitError)
	}
	return nil
}

// deferredItem is a plan.Deferred in JSON.
type deferredItem struct {
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// deferredJSON never returns nil, so that JSON has an empty list rather than null.
func deferredJSON(d []plan.Deferred) []deferredItem {
	items := make([]deferredItem, 0, len(d))
	for _, w := range d {
		items = append(items, deferredItem{w.Object, w.Reason})
	}
	return items
}

// printJSON prints v as the command's result.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
