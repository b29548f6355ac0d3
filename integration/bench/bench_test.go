// Package bench measures pbr against nft(8), and small changes against a full load, with a policy
// of ten thousand policies and a hundred thousand list entries. What is compared runs in turns in
// one process, so that the ratios mean something on any machine; no benchmark fails because a
// machine is slow. pbr watch is measured against a shell script.
package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/integration/lab"
	"pbr/kernel"
	"pbr/render"
)

// program is the pbr that is measured.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path, remove, err := lab.Program()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	program = path
	code := m.Run()
	report(os.Stdout)
	return code
}

// What the project aims at, as parts of the other's time.
const (
	aimCompile = 0.1  // of nft -c -f
	aimApply   = 0.5  // of nft -f
	aimChange  = 0.02 // of a full apply
)

// BenchmarkCompile compares parsing, compiling and rendering with nft's own check of the text that
// comes out.
func BenchmarkCompile(b *testing.B) {
	n := lab.Build(lab.New(b), network)
	files := writeFiles(b)
	script := filepath.Join(b.TempDir(), "pbr.nft")
	save(b, script, rendered(b, compiled(b, parsed(b, files.policy), plan.HostFacts{})))
	check := side{run: func(*parts) { n.Router.Run("nft", "-c", "-f", script) }}
	for b.Loop() {
		compare(b, "parse, compile, render / nft -c -f", aimCompile, side{run: func(p *parts) {
			var doc *policy.Document
			var pl *plan.Plan
			p.time("parse", func() { doc = parsed(b, files.policy) })
			p.time("compile", func() { pl = compiled(b, doc, plan.HostFacts{}) })
			p.time("render", func() { rendered(b, pl) })
		}}, check)
		compare(b, "pbr compile --format nft / nft -c -f", aimCompile, side{run: func(*parts) {
			n.Router.Run(program, "--config", files.policy, "compile", "--dry-run", "--format", "nft")
		}}, check)
	}
}

// BenchmarkApply compares a full apply with nft -f of the same table, each in a namespace that has
// none.
func BenchmarkApply(b *testing.B) {
	m := newMachine(b, writeFiles(b))
	other := lab.Build(lab.New(b), network).Router
	script := filepath.Join(b.TempDir(), "pbr.nft")
	save(b, script, rendered(b, m.plan))
	load := side{
		before: func(*parts) { other.Run("nft", "flush", "ruleset") },
		run:    func(*parts) { other.Run("nft", "-f", script) },
	}
	for b.Loop() {
		compare(b, "pbr apply / nft -f", aimApply, m.process(m.empty, m.files.policy), load)
		compare(b, "apply, kernel part / nft -f", aimApply, m.inside(m.empty, m.plan), load)
	}
}

// BenchmarkChange compares applies that change nothing, and one policy, with a full one.
func BenchmarkChange(b *testing.B) {
	m := newMachine(b, writeFiles(b))
	full, fullInside := m.process(m.empty, m.files.policy), m.inside(m.empty, m.plan)
	for b.Loop() {
		compare(b, "pbr apply of no change / full", aimChange, m.process(m.load, m.files.policy), full)
		compare(b, "pbr apply of one policy / full", aimChange, m.process(m.load, m.files.changed), full)
		compare(b, "no change, kernel part / full", aimChange, m.inside(m.load, m.plan), fullInside)
		compare(b, "one policy, kernel part / full", aimChange, m.inside(m.load, m.changed), fullInside)
	}
}

// machine is a router with a policy on it.
type machine struct {
	*lab.Host
	b             *testing.B
	files         files
	plan, changed *plan.Plan
	kernel        *kernel.Kernel
}

func newMachine(b *testing.B, f files) *machine {
	m := &machine{Host: lab.Build(lab.New(b), network).Router, b: b, files: f}
	var live plan.HostFacts
	var err error
	m.Do(func() {
		if m.kernel, err = kernel.Open(kernel.DefaultStateDir); err == nil {
			live, err = m.kernel.HostFacts(plan.Needs{})
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.kernel.Close(); _ = os.RemoveAll(m.kernel.Dir()) })
	m.plan = compiled(b, parsed(b, f.policy), live)
	m.changed = compiled(b, parsed(b, f.changed), live)
	return m
}

// pbr runs the program.
func (m *machine) pbr(file, command string) { m.Run(program, "--config", file, command) }

// empty takes everything away, load puts the policy there.
func (m *machine) empty() { m.pbr(m.files.policy, "flush") }
func (m *machine) load()  { m.pbr(m.files.policy, "apply") }

// process measures pbr apply.
func (m *machine) process(before func(), file string) side {
	return side{before: func(*parts) { before() }, run: func(*parts) { m.pbr(file, "apply") }}
}

// inside measures what pbr apply does with the kernel. How much of it is reading and comparing is
// found out by doing both once more, before.
func (m *machine) inside(before func(), want *plan.Plan) side {
	return side{
		before: func(p *parts) {
			before()
			m.look(p, want)
		},
		run: func(p *parts) {
			var err error
			start := time.Now()
			m.Do(func() { _, err = m.kernel.Apply(context.Background(), want) })
			p.add("send and the rest", max(0, time.Since(start)-p.times["read live"]-p.times["compare"]))
			if err != nil {
				m.b.Fatal(err)
			}
		},
	}
}

func (m *machine) look(p *parts, want *plan.Plan) {
	var have *plan.Plan
	var err error
	m.Do(func() { p.time("read live", func() { have, err = m.kernel.Live(want) }) })
	if err != nil {
		m.b.Fatal(err)
	}
	p.time("compare", func() { plan.Diff(have, want) })
}

func parsed(b *testing.B, file string) *policy.Document {
	b.Helper()
	doc, ds := policy.Parse(os.DirFS("/"), strings.TrimPrefix(file, "/"), file)
	if len(ds) > 0 {
		b.Fatalf("the generated policy has faults: %v", ds[0])
	}
	return doc
}

func compiled(b *testing.B, doc *policy.Document, live plan.HostFacts) *plan.Plan {
	b.Helper()
	p, ds := compiler.Compile(doc, live, nil)
	if len(ds) > 0 {
		b.Fatalf("the generated policy does not compile: %v", ds[0])
	}
	return p
}

func rendered(b *testing.B, p *plan.Plan) []byte {
	b.Helper()
	var text bytes.Buffer
	if err := render.NFT(&text, p); err != nil {
		b.Fatal(err)
	}
	return text.Bytes()
}

func save(b *testing.B, file string, text []byte) {
	b.Helper()
	if err := os.WriteFile(file, text, 0o644); err != nil {
		b.Fatal(err)
	}
}
