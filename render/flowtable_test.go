package render

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// offloading is a plan with a flowtable and a chain that leads to it.
func offloading(f plan.Flowtable) *plan.Plan {
	r := rule(ms(num(plan.FieldL4Proto, 6, 6)), plan.Offload{Flowtable: f.Name})
	r.Comment = "offload"
	return &plan.Plan{Ruleset: plan.Ruleset{
		Counters:   []plan.Counter{{Name: "c"}},
		Flowtables: []plan.Flowtable{f},
		Chains: []plan.Chain{
			{Name: "other", Rules: []plan.ChainRule{rule(nil, accept)}},
			{Name: "forward", Kind: "filter", Hook: "forward", Priority: 200, Rules: []plan.ChainRule{r}},
		},
	}}
}

func TestFlowtableText(t *testing.T) {
	p := offloading(plan.Flowtable{Name: "flows", Devices: []string{"br-lan", "eth0.5"}, Hardware: true, Counter: true})
	const want = `table inet pbr
delete table inet pbr
table inet pbr {
	counter c {
	}

	flowtable flows {
		hook ingress priority filter
		devices = { "br-lan", "eth0.5" }
		flags offload
		counter
	}

	chain other {
		accept
	}

	chain forward {
		type filter hook forward priority 200; policy accept;
		meta l4proto tcp flow add @flows comment "offload"
	}
}
`
	if got := nftText(t, p); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	doc := jsonDoc(t, p)
	for path, want := range map[string]any{
		"nftables.flowtables.0.name": "flows", "nftables.flowtables.0.devices.1": "eth0.5", "nftables.flowtables.0.hardware": true,
		"nftables.chains.1.rules.0.actions.0.action": "flow add", "nftables.chains.1.rules.0.actions.0.name": "flows",
	} {
		t.Run(path, func(t *testing.T) {
			if got := at(doc, path); got != want {
				t.Errorf("%s is %v, want %v", path, got, want)
			}
		})
	}
	for _, bad := range []plan.Flowtable{{Name: "a b"}, {Name: "a", Devices: []string{`x"`}}, {Name: "a", Except: []string{""}}} {
		if err := NFT(&strings.Builder{}, offloading(bad)); err == nil || !strings.Contains(err.Error(), "flowtable") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestLateFlowtableText: without a machine, the text that nft loads in one go has nothing that
// could fail.
func TestLateFlowtableText(t *testing.T) {
	p := offloading(plan.Flowtable{Name: "flows", Late: true, Devices: []string{"eth1"}, Counter: true})
	got := nftText(t, p)
	if strings.Contains(got, "flow add") || strings.Contains(got, "\tflowtable") ||
		!strings.Contains(got, "# Offload") || !strings.Contains(got, "chain other") {
		t.Errorf("got\n%s", got)
	}
}

// TestLateSets: a set that only the chain to the flowtable looks in comes with it, one that others
// look in too with them.
func TestLateSets(t *testing.T) {
	p := offloading(plan.Flowtable{Name: "flows", Late: true})
	p.Ruleset.Sets = []plan.Set{{Name: "alone", Type: plan.TypeProto}, {Name: "both", Type: plan.TypeProto},
		{Name: "none", Type: plan.TypeProto}}
	look := func(set string) plan.Match { return plan.Match{Field: plan.FieldL4Proto, Set: set} }
	p.Ruleset.Chains[0].Rules[0].Matches = ms(look("both"))
	p.Ruleset.Chains[1].Rules[0].Matches = ms(look("both"), look("alone"))
	if got := nftText(t, p); strings.Contains(got, "set alone") || !strings.Contains(got, "set both") ||
		!strings.Contains(got, "set none") {
		t.Errorf("nft has\n%s", got)
	}
	before, after, _ := strings.Cut(scriptText(t, p), "\noffload <<'EOF'\n")
	if strings.Contains(before, "set alone") || !strings.Contains(after, "set alone") || strings.Contains(after, "set both") {
		t.Errorf("the script offloads with\n%s", after)
	}
}

func TestFlowtableDiff(t *testing.T) {
	with := func(f plan.Flowtable) *plan.Plan {
		f.Name = "flows"
		return &plan.Plan{Ruleset: plan.Ruleset{Flowtables: []plan.Flowtable{f}}}
	}
	ab, bc := with(plan.Flowtable{Devices: []string{"a", "b"}}), with(plan.Flowtable{Devices: []string{"b", "c"}})
	const head = "--- live\n+++ planned\n@@ table inet pbr flowtable flows @@\n"
	for _, c := range []struct {
		have, want *plan.Plan
		text       string
		summary    string
	}{
		{ab, bc, head + "-device \"a\"\n+device \"c\"\n", "flowtables: 1 changed, 1 interface added, 1 interface removed"},
		{&plan.Plan{}, ab, head + "+hook ingress priority filter\n+device \"a\"\n+device \"b\"\n", "flowtables: 1 added"},
		{ab, &plan.Plan{}, head + "-hook ingress priority filter\n-device \"a\"\n-device \"b\"\n", "flowtables: 1 removed"},
		{ab, with(plan.Flowtable{Counter: true, Devices: []string{"b"}}), head + " hook ingress priority filter\n+counter\n-device \"a\"\n",
			"flowtables: 1 rebuilt"},
	} {
		t.Run(c.text, func(t *testing.T) {
			if got := diffText(t, c.have, c.want, false); got != c.text {
				t.Errorf("got\n%s\nwant\n%s", got, c.text)
			}
			if got := Summary(plan.Diff(c.have, c.want)); !slices.Equal(got, []string{c.summary}) {
				t.Errorf("got %q, want %q", got, c.summary)
			}
		})
	}
}

// TestScriptOffloadSyntax is TestScriptSyntax for what a script has with a flowtable alone.
func TestScriptOffloadSyntax(t *testing.T) {
	p := offloading(plan.Flowtable{Name: "flows", Late: true, Devices: []string{"eth1", "wg*"}, Except: []string{"eth2"}})
	file := filepath.Join(t.TempDir(), "offload.sh")
	if err := os.WriteFile(file, []byte(scriptText(t, p)), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, s := range scriptShells(t) {
		t.Run(strings.Join(s, " "), func(t *testing.T) {
			if out, err := exec.Command(s[0], append(s[1:], "-n", file)...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", s, err, out)
			}
		})
	}
}

// TestKernelScriptOffload runs a script where one candidate is missing: the flowtable has those
// that there are, and a kernel without flowtables is reported on one line, unless it has to have
// them.
func TestKernelScriptOffload(t *testing.T) {
	for _, shell := range scriptShells(t) {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			n := newNamespace(t)
			n.links()
			n.run(`ip link add br0 type bridge; ip addr add 10.0.0.1/24 dev br0
ip link set peer2 master br0; ip addr add 10.1.0.1/24 dev peer2
ip link add wg1 type veth peer name wg2; ip link set wg1 up; ip addr add 10.2.0.1/24 dev lo`, "sh", "-e")
			_, _, none := n.try("table inet probe { flowtable f { hook ingress priority 0; }\nchain c { flow "+
				"add @f; }\n}\ndelete table inet probe\n", "nft", "-f", "-")
			p := offloading(plan.Flowtable{Name: "flows", Late: true, Devices: []string{"eth1", "gone", "wg*"},
				Except: []string{"eth2"}, Counter: true})
			for range 2 {
				_, said, err := n.try(ownIP(t)+scriptText(t, p), shell[0], append(shell[1:], "-eu")...)
				if err != nil {
					t.Fatalf("%v: %v, stderr: %s", shell, err, said)
				}
				listed := n.run("", "nft", "list", "table", "inet", "pbr")
				if none != nil {
					const want = "pbr: offload left out: the kernel may lack the modules nf_flow_table_inet and nft_flow_offload ("
					if !strings.HasPrefix(said, want) || strings.Count(said, "\n") != 1 || !strings.Contains(said, "No such file") {
						t.Errorf("%v: stderr is %q, not %q", shell, said, want)
					}
					if !strings.Contains(listed, "chain other") || strings.Contains(listed, "flow") {
						t.Errorf("%v: nft has\n%s", shell, listed)
					}
					continue
				}
				if said != "" || !strings.Contains(listed, "devices = { br0, eth1, wg1, wg2 }") ||
					!strings.Contains(listed, "flow add @flows") {
					t.Errorf("%v: stderr %q, nft has\n%s", shell, said, listed)
				}
			}
			p.Ruleset.Flowtables[0].Required = true
			n.run("", "nft", "flush", "ruleset")
			_, said, err := n.try(ownIP(t)+scriptText(t, p), shell[0], append(shell[1:], "-eu")...)
			if none == nil {
				if err != nil {
					t.Errorf("%v: required: %v, stderr %q", shell, err, said)
				}
				return
			}
			if left := n.run("", "nft", "list", "ruleset"); err == nil || left != "" ||
				!strings.HasPrefix(said, "pbr: offload is required, and this kernel has no flowtables: ") {
				t.Errorf("%v: required: %v, stderr %q, left\n%s", shell, err, said, left)
			}
		})
	}
}
