package explain_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// explainer prepares a policy alone.
func explainer(t testing.TB, text string) *explain.Explainer {
	t.Helper()
	doc, p, _ := compiledPolicy(t, text)
	x, err := explain.New(doc, p, p, explain.Live{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func compiledPolicy(t testing.TB, text string) (*policy.Document, *plan.Plan, *compiler.Compiler) {
	t.Helper()
	doc, problems := policy.ParseWith(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml",
		policy.Options{ErrorsOnly: true})
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	c := compiler.New(doc)
	p, problems := c.Compile(plan.HostFacts{}, nil)
	if p == nil {
		t.Fatal(problems)
	}
	return doc, p, c
}

const twoUplinks = `[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "198.51.100.2"
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
`

// BenchmarkLine is one question of a batch against 10,000 policies: the aim is 100,000 a second.
func BenchmarkLine(b *testing.B) {
	text := strings.Builder{}
	text.WriteString(twoUplinks)
	for i := range 10_000 {
		fmt.Fprintf(&text, "[[policy]]\nname = \"p%d\"\nsrc = \"10.%d.%d.%d\"\nuplink = \"isp2\"\n", i, i/2500, i/10%250, i%10+1)
	}
	x := explainer(b, text.String())
	var lines [][]byte
	for i := range 12_000 {
		lines = append(lines, fmt.Appendf(nil,
			`{"id": %d, "in": "lan1", "src": "10.%d.%d.%d", "dst": "9.9.9.9", "proto": "udp", "dport": 53}`, i, i/2500, i/10%250, i%10+1))
	}
	var out []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		out = x.Line(out[:0], lines[i%len(lines)], nil)
	}
}
