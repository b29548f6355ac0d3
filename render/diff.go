package render

import (
	"fmt"
	"io"

	"pbr/compiler/plan"
)

// foldAfter is how many elements of one set a difference shows on either side, and how many
// findings of one code are printed.
const foldAfter = 20

// Escape sequences of the colours (ECMA-48, SGR).
const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	cyan  = "\x1b[36m"
	reset = "\x1b[m"
)

// Diff writes c, what turns have into want, as a unified diff that a person reads: "-" what is
// live, "+" what is planned, objects in the words of NFT and IP, in apply's order. Colours are used
// if colour is true. What is deferred stands at the end. Nothing at all is written when nothing
// differs and nothing is deferred. It fails only when writing to w does.
func Diff(w io.Writer, have, want *plan.Plan, c *plan.Changes, colour bool) error {
	d := diffWriter{colour: colour, names: tableLabels(have)}
	for table, name := range tableLabels(want) {
		d.names[table] = name
	}
	if !c.Empty() {
		d.line('-', "--- live")
		d.line('+', "+++ planned")
	}
	d.sysctls(c.Sysctls)
	d.routes(c.Routes)
	d.rules(c.Rules)
	d.counters(c.Counters)
	for i := range c.Flowtables {
		d.flowtable(&c.Flowtables[i])
	}
	for i := range c.Sets {
		d.set(&c.Sets[i])
	}
	for i := range c.Chains {
		d.chain(&c.Chains[i])
	}
	for _, f := range c.Foreign {
		d.section("table inet " + plan.TableName + ", not made by pbr")
		d.removed(appendLine(nil, f))
	}
	d.b = appendDeferred(d.b, want)
	if _, err := w.Write(d.b); err != nil {
		return fmt.Errorf("writing difference: %w", err)
	}
	return nil
}

// diffWriter gathers the lines of a difference.
type diffWriter struct {
	b      []byte
	colour bool
	names  labels
	// current is the part that lines go to, begun once it has its first line.
	current string
	begun   bool
}

// line adds a line in the colour of its sign.
func (d *diffWriter) line(sign byte, text string) {
	colour := map[byte]string{'-': red, '+': green, '@': cyan}[sign]
	if colour == "" || !d.colour {
		d.b = append(append(d.b, text...), '\n')
		return
	}
	d.b = append(append(append(d.b, colour...), text...), reset+"\n"...)
}

// section names the part that the lines after it belong to.
func (d *diffWriter) section(name string) {
	if name != d.current {
		d.current, d.begun = name, false
	}
}

// entry adds a line of a part, and the part's title before its first one.
func (d *diffWriter) entry(sign byte, text []byte) {
	if !d.begun {
		d.begun = true
		d.line('@', "@@ "+d.current+" @@")
	}
	d.line(sign, string(sign)+string(text))
}

func (d *diffWriter) added(text []byte)   { d.entry('+', text) }
func (d *diffWriter) removed(text []byte) { d.entry('-', text) }
func (d *diffWriter) same(text []byte)    { d.entry(' ', text) }

func (d *diffWriter) sysctls(changes []plan.SysctlChange) {
	for _, c := range changes {
		d.section("sysctl")
		if c.Have != "" {
			d.removed([]byte(c.Path + "=" + c.Have))
		}
		d.added([]byte(c.Path + "=" + c.Want))
	}
}

// named adds a comment with the name of a routing table that pbr owns.
func (d *diffWriter) named(text []byte, table uint32) []byte {
	if name, ok := d.names[table]; ok {
		return appendLine(append(text, " # table "...), name)
	}
	return text
}

func (d *diffWriter) routes(changes []plan.RouteChange) {
	line := func(r *plan.Route, add func([]byte)) {
		if r != nil {
			d.section(fmt.Sprintf("ip -%d route", r.Family))
			add(d.named(appendRoute(nil, r), r.Table))
		}
	}
	for _, c := range changes {
		line(c.Have, d.removed)
		line(c.Want, d.added)
	}
}

func (d *diffWriter) rules(changes []plan.RuleChange) {
	line := func(r *plan.Rule, add func([]byte)) {
		if r != nil {
			d.section(fmt.Sprintf("ip -%d rule", r.Family))
			add(d.named(appendRule(nil, r), r.Table))
		}
	}
	for _, c := range changes {
		line(c.Have, d.removed)
		line(c.Want, d.added)
	}
}

func (d *diffWriter) counters(changes []plan.CounterChange) {
	line := func(c *plan.Counter, add func([]byte)) {
		if c == nil {
			return
		}
		d.section("table inet " + plan.TableName + " counters")
		b := []byte("counter " + c.Name)
		if c.Comment != "" {
			b = appendQuoted(append(b, " comment "...), c.Comment)
		}
		add(b)
	}
	for _, c := range changes {
		line(c.Have, d.removed)
		line(c.Want, d.added)
	}
}
