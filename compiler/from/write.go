package from

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// width is how long a line may get before a list is written one entry a line.
const width = 100

// TOML writes the policy file; about is its first comment.
func (d *Draft) TOML(about string) string {
	w := &writer{}
	w.comment(about)
	w.settings(d)
	w.lists(d.Lists)
	for _, u := range d.Uplinks {
		w.uplink(u)
	}
	for _, t := range d.Tables {
		w.table("[[table]]", t)
	}
	if d.Default != nil {
		w.table("[default]", d.Default)
	}
	for _, b := range d.Balances {
		w.balance(b)
	}
	for _, p := range d.Policies {
		w.head("[[policy]]", p.Origins)
		w.key("name", Quote(p.Name))
		w.keys(p.Keys)
		w.key(p.Target.Name, p.Target.Value)
		if p.Log {
			w.key("log", "true")
		}
	}
	for _, r := range d.Rules {
		w.head("[[rule]]", r.Origins)
		w.key("name", Quote(r.Name))
		w.keys(r.Keys)
	}
	return w.b.String()
}

type writer struct{ b strings.Builder }

func (w *writer) comment(text string) {
	if text = strings.TrimSpace(Printable(text)); text != "" {
		w.b.WriteString("# " + text + "\n")
	}
}

// head begins an object, with where it comes from above it.
func (w *writer) head(section string, origins []Origin) {
	w.b.WriteByte('\n')
	for _, o := range origins {
		w.origin(o)
	}
	w.b.WriteString(section + "\n")
}

func (w *writer) origin(o Origin) {
	w.comment(fmt.Sprintf("%s:%d %s", o.File, o.Line, o.Comment))
}

func (w *writer) key(name, value string) { w.b.WriteString(name + " = " + value + "\n") }

func (w *writer) keys(keys []Key) {
	for _, k := range keys {
		w.key(k.Name, k.Value)
	}
}

// defaultBits is how many bits the default mark-mask has; each uplink, twice where a strict table
// uses it, and each table needs a number in them.
const defaultBits = 8

func (w *writer) settings(d *Draft) {
	needed := bits.Len(uint(2*len(d.Uplinks) + len(d.Tables) + 1))
	if !d.Sysctl && d.Offload+d.OnFailover == "" && needed <= defaultBits {
		return
	}
	w.b.WriteString("\n[pbr]\n")
	if d.Sysctl {
		w.key("sysctl", "true")
		if d.tellsForward() {
			w.key("forward", "true")
		}
	}
	if d.Offload != "" {
		w.key("offload", Quote(d.Offload))
	}
	if d.OnFailover != "" {
		w.key("on-failover", Quote(d.OnFailover))
	}
	if needed > defaultBits {
		w.key("mark-mask", fmt.Sprintf("0x%08x", uint32(1<<needed-1)<<(32-needed)))
	}
}

func (w *writer) lists(lists []*List) {
	if len(lists) == 0 {
		return
	}
	w.b.WriteString("\n[lists]\n")
	for _, l := range lists {
		w.origin(l.Origin)
		w.b.WriteString(tomlKey(l.Name) + " = [\n")
		for _, e := range l.Entries {
			w.b.WriteString("  " + Quote(e.Text) + ",")
			w.behind(e.Comment)
		}
		w.b.WriteString("]\n")
	}
}

// behind ends a line, with a comment if there is one.
func (w *writer) behind(comment string) {
	if comment = strings.TrimSpace(Printable(comment)); comment != "" {
		w.b.WriteString(" # " + comment)
	}
	w.b.WriteByte('\n')
}

func (w *writer) uplink(u *Uplink) {
	w.head("[[uplink]]", u.Origins)
	for _, k := range []Key{{"name", u.Name}, {"interface", u.Interface}, {"gateway", u.Gateway},
		{"gateway6", u.Gateway6}, {"nat", u.NAT}, {"nat6", u.NAT6}} {
		if k.Value != "" {
			w.key(k.Name, Quote(k.Value))
		}
	}
	if u.Check != nil {
		w.key("check", u.Check.toml())
	}
}

func (c *Check) toml() string {
	var parts []string
	set := func(name, value string, has bool) {
		if has {
			parts = append(parts, name+" = "+value)
		}
	}
	set("method", Quote(c.Method), true)
	set("targets", Strings(c.Targets), len(c.Targets) > 0)
	set("interval", Quote(c.Interval), c.Interval != "")
	set("timeout", Quote(c.Timeout), c.Timeout != "")
	set("down-after", strconv.Itoa(c.DownAfter), c.DownAfter > 0)
	set("up-after", strconv.Itoa(c.UpAfter), c.UpAfter > 0)
	set("quorum", strconv.Itoa(c.Quorum), c.Quorum > 0)
	set("max-loss", Quote(c.MaxLoss), c.MaxLoss != "")
	set("max-rtt", Quote(c.MaxRTT), c.MaxRTT != "")
	if len(parts) == 1 {
		return Quote(c.Method)
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func (w *writer) table(section string, t *Table) {
	w.head(section, t.Origins)
	if section != "[default]" {
		w.key("name", Quote(t.Name))
	}
	if t.Strict {
		w.key("strict", "true")
	}
	w.b.WriteString("routes = [\n")
	for _, r := range t.Routes {
		w.b.WriteString("  " + r.toml() + ",")
		w.behind(r.Comment)
	}
	w.b.WriteString("]\n")
}

func (r *Route) toml() string {
	parts := []string{"uplink = " + Quote(r.Uplink)}
	if r.Dst != "" {
		parts = append(parts, "dst = "+Quote(r.Dst))
	}
	if r.Distance > 1 {
		parts = append(parts, fmt.Sprintf("distance = %d", r.Distance))
	}
	if r.Weight > 1 {
		parts = append(parts, fmt.Sprintf("weight = %d", r.Weight))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func (w *writer) balance(b *Balance) {
	w.head("[[balance]]", b.Origins)
	w.key("name", Quote(b.Name))
	w.key("method", Quote(b.Method))
	if len(b.Hash) > 0 {
		w.key("hash", Strings(b.Hash))
	}
	w.b.WriteString("members = [\n")
	for _, m := range b.Members {
		text := "table = " + Quote(m.Table)
		if m.Uplink != "" {
			text = "uplink = " + Quote(m.Uplink)
		}
		if m.Weight > 1 {
			text += fmt.Sprintf(", weight = %d", m.Weight)
		}
		w.b.WriteString("  { " + text + " },\n")
	}
	w.b.WriteString("]\n")
	if b.Sticky != "" {
		w.key("sticky", Quote(b.Sticky))
	}
}

// Strings is a list as TOML writes it: one value as itself, a long list one entry a line.
func Strings(list []string) string {
	quoted := make([]string, len(list))
	size := 0
	for i, s := range list {
		quoted[i] = Quote(s)
		size += len(quoted[i]) + 2
	}
	switch {
	case len(list) == 1:
		return quoted[0]
	case size > width:
		return "[\n  " + strings.Join(quoted, ",\n  ") + ",\n]"
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Numbers is a list of integers or ranges as TOML writes it: integers bare, ranges as strings.
func Numbers(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		if _, err := strconv.Atoi(s); err == nil {
			out[i] = s
		} else {
			out[i] = Quote(s)
		}
	}
	if len(out) == 1 {
		return out[0]
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// tomlKey is a key, quoted where its letters need it.
func tomlKey(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) {
		return Quote(name)
	}
	return name
}
