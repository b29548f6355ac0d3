package reference

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// TOML writes the policy as the file that a person would.
func (p *Policy) TOML() string {
	w := &writer{}
	w.line("[pbr]")
	if p.MarkMask != 0 {
		w.line("mark-mask = 0x%08x", p.MarkMask)
	}
	w.line("main-first = %q", p.MainFirst)
	w.text("reverse-path", p.ReversePath)
	w.line("offload = %q", cmp.Or(p.Offload, "off"))
	for _, u := range p.Uplinks {
		w.line("\n[[uplink]]\nname = %q\ninterface = %q\nnat = %q", u.Name, u.Interface, u.NAT)
		w.text("gateway", u.Gateway4)
		w.text("gateway6", u.Gateway6)
		w.line("check = \"none\"")
	}
	for _, t := range p.Tables {
		w.line("\n[[table]]\nname = %q", t.Name)
		if t.Strict {
			w.line("strict = true")
		}
		w.routes(t.Routes)
	}
	if p.HasDefault {
		w.line("\n[default]")
		w.routes(p.Default)
	}
	if len(p.Lists) > 0 {
		w.line("\n[lists]")
	}
	for _, l := range p.Lists {
		items := make([]string, len(l.Spans))
		for i, s := range l.Spans {
			items[i] = s.String()
		}
		if l.RunTime {
			w.line("%s = [%s%s]", l.Name, joined(items), l.sources())
			continue
		}
		w.texts(l.Name, items)
	}
	for _, b := range p.Balances {
		w.balance(b)
	}
	for _, c := range p.Policies {
		w.class(c)
	}
	for _, r := range p.Rules {
		w.rule(r)
	}
	return w.b.String()
}

// String writes a span as a prefix if it is one, as a range otherwise.
func (s Span) String() string {
	if s.From == s.To {
		return s.From.String()
	}
	for bits := 0; bits < s.From.BitLen(); bits++ {
		if p, err := s.From.Prefix(bits); err == nil && p.Addr() == s.From && lastOf(p) == s.To {
			return p.String()
		}
	}
	return s.From.String() + "-" + s.To.String()
}

type writer struct{ b strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

func (w *writer) text(key, value string) {
	if value != "" {
		w.line("%s = %q", key, value)
	}
}

// texts writes a list of strings, a single one as itself: both forms are legal everywhere.
func (w *writer) texts(key string, values []string) {
	switch len(values) {
	case 0:
	case 1:
		w.line("%s = %q", key, values[0])
	default:
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = fmt.Sprintf("%q", v)
		}
		w.line("%s = [%s]", key, strings.Join(quoted, ", "))
	}
}

// sources are what fills a run-time list.
func (l *List) sources() string {
	var all []string
	if l.Dynamic {
		all = append(all, "{ dynamic = true }")
	}
	if l.Domains {
		all = append(all, fmt.Sprintf("{ domains = [%q], timeout = \"1h\" }", l.Name+".example.com"))
	}
	return strings.Join(all, ", ")
}

// joined writes values of a list that continues behind them.
func joined(values []string) (text string) {
	for _, v := range values {
		text += fmt.Sprintf("%q, ", v)
	}
	return text
}

func (w *writer) routes(routes []Route) {
	w.line("routes = [")
	for _, r := range routes {
		s := fmt.Sprintf("uplink = %q, distance = %d", r.Uplink, r.Distance)
		if r.Weight > 1 {
			s += fmt.Sprintf(", weight = %d", r.Weight)
		}
		if r.Dst.IsValid() {
			s += fmt.Sprintf(", dst = %q", r.Dst)
		}
		w.line("  { %s },", s)
	}
	w.line("]")
}

func (w *writer) balance(b Balance) {
	w.line("\n[[balance]]\nname = %q\nmethod = %q", b.Name, b.Method)
	w.texts("hash", b.Hash)
	w.text("sticky", b.Sticky)
	w.line("members = [")
	for _, m := range b.Members {
		kind, name := "uplink", m.Uplink
		if m.Table != "" {
			kind, name = "table", m.Table
		}
		w.line("  { %s = %q, weight = %d },", kind, name, m.Weight)
	}
	w.line("]")
}

func (w *writer) class(c Class) {
	w.line("\n[[policy]]\nname = %q", c.Name)
	w.names("from", c.From)
	w.addrs("src", c.Src)
	w.addrs("dst", c.Dst)
	w.nums("proto", c.Proto, protoNames)
	w.nums("sport", c.SPort, nil)
	w.nums("dport", c.DPort, nil)
	w.nums("dscp", c.DSCP, dscpNames)
	w.nums("uid", c.UID, nil)
	w.nums("gid", c.GID, nil)
	w.texts("cgroup", c.Cgroup)
	w.texts("unit", c.Unit)
	if c.MarkMask != 0 {
		w.line("fwmark = \"0x%x/0x%x\"", c.Mark, c.MarkMask)
	}
	w.texts("icmp-type", c.ICMP)
	macs := make([]string, len(c.MAC))
	for i, m := range c.MAC {
		macs[i] = fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
	}
	w.texts("mac", macs)
	if c.IPVersion != 0 {
		w.line("ipv = %d", c.IPVersion)
	}
	w.schedule(c.Schedule)
	w.text("table", c.Table)
	w.text("uplink", c.Uplink)
	w.text("balance", c.Balance)
	w.text("action", c.Action)
	if c.Strict {
		w.line("strict = true")
	}
	if c.Default {
		w.line("default = true")
	}
}

// schedule writes a schedule that is in force now, or not for days.
func (w *writer) schedule(which string) {
	switch which {
	case "on":
		w.line("schedule = \"mon-sun\"")
	case "off":
		w.line("schedule = { days = [%q], timezone = \"Europe/Berlin\" }",
			strings.ToLower(time.Now().AddDate(0, 0, 3).Weekday().String()[:3]))
	}
}

func (w *writer) rule(r Rule) {
	w.line("\n[[rule]]\nname = %q", r.Name)
	if r.Priority != 0 {
		w.line("priority = %d", r.Priority)
	}
	w.addrs("src", r.Src)
	w.addrs("dst", r.Dst)
	w.names("iif", r.IIF)
	w.names("oif", r.OIF)
	w.nums("proto", r.Proto, protoNames)
	w.nums("sport", r.SPort, nil)
	w.nums("dport", r.DPort, nil)
	w.nums("dscp", r.DSCP, dscpNames)
	w.nums("tos", r.TOS, nil)
	w.nums("uid", r.UID, nil)
	if r.MarkMask != 0 {
		w.line("fwmark = \"0x%x/0x%x\"", r.Mark, r.MarkMask)
	}
	w.text("table", r.Table)
	w.text("uplink", r.Uplink)
	w.text("action", r.Action)
}

func (w *writer) names(key string, items []NameItem) {
	var out []string
	for _, it := range items {
		out = append(out, not(it.Not)+it.Name)
	}
	w.texts(key, out)
}

func (w *writer) addrs(key string, items []AddrItem) {
	var out []string
	for _, it := range items {
		s := "@" + it.List
		if it.List == "" {
			s = it.Span.String()
		}
		out = append(out, not(it.Not)+s)
	}
	w.texts(key, out)
}

func not(n bool) string {
	if n {
		return "!"
	}
	return ""
}

// protoNames and dscpNames are names that people use (/etc/protocols; RFC 2474, RFC 2597, RFC
// 3246).
var (
	protoNames = map[uint32]string{1: "icmp", 6: "tcp", 17: "udp", 50: "esp", 58: "icmpv6"}
	dscpNames  = map[uint32]string{46: "ef", 10: "af11", 8: "cs1"}
)

func (w *writer) nums(key string, items []NumItem, names map[uint32]string) {
	var out []string
	numbers := len(items) > 0
	for _, it := range items {
		s := fmt.Sprint(it.From)
		name, named := names[it.From]
		switch {
		case it.From != it.To:
			s = fmt.Sprintf("%d-%d", it.From, it.To)
		case named:
			s = name
		}
		numbers = numbers && it.From == it.To && !named && !it.Not
		out = append(out, not(it.Not)+s)
	}
	if numbers { // plain numbers need no quotes
		w.line("%s = [%s]", key, strings.Join(out, ", "))
		return
	}
	w.texts(key, out)
}
