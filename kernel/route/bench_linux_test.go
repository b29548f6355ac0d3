package route

import (
	"testing"

	"pbr/compiler/plan"
)

// benchCount is how many rules or routes each benchmark handles at a time.
const benchCount = 1000

func benchRules() []plan.Rule {
	var out []plan.Rule
	for i := range uint32(benchCount) {
		out = append(out, plan.Rule{Family: plan.IPv4, Priority: base + i, Mark: i << 8, MarkMask: 0xffffff00,
			Action: plan.ActLookup, Table: table + i, Protocol: plan.Protocol})
	}
	return out
}

func BenchmarkAddAndDelete1000Rules(b *testing.B) {
	c := newNetns(b)
	rules := benchRules()
	for b.Loop() {
		for _, r := range rules {
			must(b, c.AddRule(r))
		}
		must(b, c.DelRules(rules))
	}
}

func BenchmarkRead1000Rules(b *testing.B) {
	c := newNetns(b)
	for _, r := range benchRules() {
		must(b, c.AddRule(r))
	}
	for b.Loop() {
		if rules, _, err := c.Read([]uint32{base}, nil); err != nil || len(rules) != benchCount {
			b.Fatal(len(rules), err)
		}
	}
}

func BenchmarkSet1000Routes(b *testing.B) {
	c := newNetns(b)
	r := caseRoute(0)
	for b.Loop() {
		for i := range uint32(benchCount) {
			r.Table = table + i
			must(b, c.SetRoute(r))
		}
	}
}

func BenchmarkRead1000Routes(b *testing.B) {
	c := newNetns(b)
	r := caseRoute(0)
	var tables []uint32
	for i := range uint32(benchCount) {
		r.Table = table + i/50
		r.Metric = 1 + i%50
		must(b, c.SetRoute(r))
		tables = append(tables, r.Table)
	}
	for b.Loop() {
		if routes := readRoutes(b, c, tables...); len(routes) != benchCount {
			b.Fatal(len(routes))
		}
	}
}
