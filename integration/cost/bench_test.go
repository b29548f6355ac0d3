// Package cost measures what whole commands cost, in CPU and memory, beside nft -f of the ruleset
// that an earlier version made of the same policy. Nothing fails because a machine is slow.
package cost

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/page"
)

var (
	rounds = flag.Int("rounds", 0, "how often each command is measured (0: the less often, the larger the policy)")
	upTo   = flag.Int("up-to", 1_000_000, "leave out what has more policies or addresses")
	docs   = flag.Bool("write", false, "measure all, and put the tables into docs/")
)

const pageFile = "../../docs/performance.md"

// program is the pbr that is measured.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	path, remove, err := lab.Program()
	if err == nil {
		defer remove()
		program, err = installed(path)
	}
	if err == nil {
		defer os.RemoveAll(filepath.Dir(program))
		err = adoptOrphans()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// installed copies a program, as an installation does. The linker writes through a mapping, and of
// the small pages that it leaves in memory the kernel maps fewer at a time: such a program, which
// nobody runs, takes a quarter more CPU to start than its copy.
func installed(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "pbr-cost-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "pbr")
	return path, os.WriteFile(path, text, 0o755)
}

// policies and addresses are the workloads, a table of each.
var (
	policies  = []workload{{policies: 10}, {policies: 1_000}, {policies: 10_000}, {policies: 100_000}}
	addresses = []workload{{addresses: 100_000}, {addresses: 1_000_000}}
)

// BenchmarkCommands prints the tables.
func BenchmarkCommands(b *testing.B) {
	if *docs {
		*upTo = 1_000_000
	}
	for b.Loop() {
		var out bytes.Buffer
		fmt.Fprintf(&out, "%s, %s; medians of %s.\n\n", page.Machine(), nftVersion(), roundsOf())
		writeTable(&out, "policies", measureAll(b, policies))
		writeTable(&out, "addresses of a list", measureAll(b, addresses))
		_, _ = os.Stdout.Write(out.Bytes())
		if !*docs {
			continue
		}
		if err := page.Insert(pageFile, "commands", out.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}

// measureAll measures workloads that are not too large.
func measureAll(b *testing.B, all []workload) (list []*result) {
	for _, w := range all {
		if w.policies+w.addresses <= *upTo {
			fmt.Fprintf(os.Stderr, "%v\n", w)
			list = append(list, newMachine(b, w).measure(w.rounds()))
		}
	}
	return list
}

// machine is two routers, of which pbr and nft have one each, and what they are given.
type machine struct {
	t           testing.TB
	router, nft *lab.Host
	workload    workload
	files       files
	// frozen and today are files with rulesets.
	frozen, today string
}

func newMachine(t testing.TB, w workload) *machine {
	m := &machine{t: t, workload: w, router: lab.Build(lab.New(t), network).Router, nft: lab.New(t).Host("nft")}
	if m.files = policyFiles(t, w.policies); w.addresses > 0 {
		m.files = listFiles(t, w.addresses)
	}
	dir := t.TempDir()
	m.frozen, m.today = filepath.Join(dir, "frozen.nft"), filepath.Join(dir, "today.nft")
	save(t, m.frozen, frozen(t, w))
	save(t, m.today, m.router.Run(program, "--config", m.files.policy, "compile", "--dry-run", "--format", "nft"))
	return m
}

// measure measures every command of every round.
func (m *machine) measure(rounds int) *result {
	r := &result{workload: m.workload}
	for range rounds {
		for i, c := range commands {
			if c.before != nil {
				c.before(m)
			}
			r.costs[i] = append(r.costs[i], c.run(m))
		}
	}
	m.empty()
	return r
}

// pbr measures pbr, load nft -f.
func (m *machine) pbr(file string, command ...string) cost {
	return measure(m.t, m.router, program, append([]string{"--config", file}, command...)...)
}

func (m *machine) load(file string) cost { return measure(m.t, m.nft, "nft", "-f", file) }

// empty takes all rulesets away.
func (m *machine) empty() {
	m.nft.Run("nft", "flush", "ruleset")
	m.router.Run(program, "--config", m.files.policy, "flush")
}

// command is what is measured, in this order in each round.
type command struct {
	name   string
	before func(*machine)
	run    func(*machine) cost
}

var commands = [...]command{
	{"`nft -f` of 13b5d16's ruleset", (*machine).empty, func(m *machine) cost { return m.load(m.frozen) }},
	{"`nft -f` of today's ruleset", (*machine).empty, func(m *machine) cost { return m.load(m.today) }},
	{"first `pbr apply`", (*machine).empty, func(m *machine) cost { return m.pbr(m.files.policy, "apply") }},
	{"`pbr apply`, nothing to do", nil, func(m *machine) cost { return m.pbr(m.files.policy, "apply") }},
	{"`pbr diff`, nothing differs", nil, func(m *machine) cost { return m.pbr(m.files.policy, "diff") }},
	{"`pbr apply`, one line changed", nil, func(m *machine) cost { return m.pbr(m.files.changed, "apply") }},
	{"`pbr check`", nil, func(m *machine) cost { return m.pbr(m.files.policy, "check") }},
	{"`pbr version`", nil, func(m *machine) cost { return m.pbr(m.files.policy, "version") }},
}

// TestCommands: every command of a small policy can be measured, and costs something.
func TestCommands(t *testing.T) {
	t.Parallel()
	r := newMachine(t, workload{policies: 10}).measure(1)
	for i, c := range commands {
		if one := r.costs[i][0]; one.cpu <= 0 || one.memory <= 0 || one.memory > 100<<10 {
			t.Errorf("%s: %+v", c.name, one)
		}
	}
}
