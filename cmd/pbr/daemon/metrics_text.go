package daemon

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"pbr/compiler/sorting"
)

// MetricsType is the content type of Metrics: Prometheus' text exposition format. Prometheus' own
// library would add 2 MB, most of it for protobuf; tests compare the output with the library's.
const MetricsType = "text/plain; version=0.0.4; charset=utf-8"

// metrics are families of samples. A sample belongs to the family that was described last.
type metrics struct{ families []*family }

type family struct {
	name, kind, help string
	samples          []sample
}

type sample struct {
	labels []label
	value  float64
}

type label struct{ name, value string }

func (m *metrics) describe(name, kind, help string) {
	m.families = append(m.families, &family{name: name, kind: kind, help: help})
}

// sample adds a value with labels, names and values in turn. A value that is not valid text is
// omitted.
func (m *metrics) sample(value float64, labels ...string) {
	s := sample{value: value}
	for pair := range slices.Chunk(labels, 2) {
		if !utf8.ValidString(pair[1]) {
			return
		}
		s.labels = append(s.labels, label{pair[0], pair[1]})
	}
	sorting.Func(s.labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	f := m.families[len(m.families)-1]
	f.samples = append(f.samples, s)
}

// text returns the families that have samples, by name, and their samples by labels.
func (m *metrics) text() []byte {
	var b bytes.Buffer
	byName := func(a, b *family) int { return strings.Compare(a.name, b.name) }
	families := slices.Clone(m.families)
	sorting.Func(families, byName)
	for _, f := range families {
		if len(f.samples) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", f.name, helpEscapes.Replace(f.help), f.name, f.kind)
		sorting.Func(f.samples, func(a, b sample) int {
			return slices.CompareFunc(a.labels, b.labels, func(a, b label) int { return cmp.Compare(a.value, b.value) })
		})
		for _, s := range f.samples {
			s.write(&b, f.name)
		}
	}
	return b.Bytes()
}

// What a text and a label's value escape.
var (
	helpEscapes  = strings.NewReplacer("\\", `\\`, "\n", `\n`)
	valueEscapes = strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`)
)

func (s sample) write(b *bytes.Buffer, name string) {
	b.WriteString(name)
	before := "{"
	for _, l := range s.labels {
		b.WriteString(before + l.name + `="` + valueEscapes.Replace(l.value) + `"`)
		before = ","
	}
	if len(s.labels) > 0 {
		b.WriteString("}")
	}
	b.WriteString(" " + strconv.FormatFloat(s.value, 'g', -1, 64) + "\n")
}
