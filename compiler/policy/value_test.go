package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestParseRange(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":                   "10.0.0.1-10.0.0.1",
		"10.0.0.0/8":                 "10.0.0.0-10.255.255.255",
		"0.0.0.0/0":                  "0.0.0.0-255.255.255.255",
		"10.0.0.3-10.0.1.4":          "10.0.0.3-10.0.1.4",
		"10.0.0.3 - 10.0.0.3":        "10.0.0.3-10.0.0.3",
		"::/0":                       "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"2001:db8::/33":              "2001:db8::-2001:db8:7fff:ffff:ffff:ffff:ffff:ffff",
		"2001:db8::1/128":            "2001:db8::1-2001:db8::1",
		"fe80::1-fe80::2":            "fe80::1-fe80::2",
		"255.255.255.255/32":         "255.255.255.255-255.255.255.255",
		"10.0.0.1/8":                 "",
		"10.0.0.9-10.0.0.1":          "",
		"::1%lo":                     "",
		"":                           "",
		"10.0.0.0/08":                "",
		"010.0.0.1":                  "",
		"10.0.0.1-10.0.0.2-10.0.0.3": "",
		"::ffff:10.0.0.0/104":        "",
		"10.0.0.0/255.255.0.255":     "",
	} {
		t.Run(text, func(t *testing.T) {
			r, f := parseRange(text)
			switch {
			case f != nil && want != "":
				t.Errorf("%q: %s", text, f.message)
			case f == nil && fmt.Sprintf("%s-%s", r.From, r.To) != want:
				t.Errorf("%q is %s-%s, want %q", text, r.From, r.To, want)
			case f != nil && f.message == "":
				t.Errorf("%q: an error without a message", text)
			}
		})
	}
}

// TestMergeRanges compares merging and subtracting with bits of a small world.
func TestMergeRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	base4, base6 := netip.MustParseAddr("255.255.255.192"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffc0")
	nth := func(base netip.Addr, n int) netip.Addr {
		b := base.AsSlice()
		b[len(b)-1] += byte(n)
		a, _ := netip.AddrFromSlice(b)
		return a
	}
	random := func() (ranges []Range, has [2][64]bool) {
		for range r.IntN(12) {
			from, family := r.IntN(64), r.IntN(2)
			to := from + r.IntN(min(9, 64-from))
			base := []netip.Addr{base4, base6}[family]
			ranges = append(ranges, Range{nth(base, from), nth(base, to)})
			for i := from; i <= to; i++ {
				has[family][i] = true
			}
		}
		return ranges, has
	}
	bits := func(ranges []Range) (has [2][64]bool) {
		for i := range 64 {
			for family, base := range []netip.Addr{base4, base6} {
				a := nth(base, i)
				has[family][i] = slices.ContainsFunc(ranges, func(x Range) bool { return x.From.Compare(a) <= 0 && a.Compare(x.To) <= 0 })
			}
		}
		return has
	}
	for range 5000 {
		a, hasA := random()
		b, hasB := random()
		a, b = mergeRanges(a), mergeRanges(b)
		if !isMerged(a) || bits(a) != hasA {
			t.Fatalf("merged: %v, want %v", a, hasA)
		}
		left, contains := hasA, true
		for f := range left {
			for i := range left[f] {
				contains = contains && (hasA[f][i] || !hasB[f][i])
				left[f][i] = hasA[f][i] && !hasB[f][i]
			}
		}
		if got := subtractRanges(a, b); bits(got) != left || !isMerged(got) {
			t.Fatalf("%v less %v is %v", a, b, got)
		}
		if containsRanges(a, b) != contains {
			t.Fatalf("%v contains %v: want %v", a, b, contains)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"1s": time.Second, "500ms": 500 * time.Millisecond, "1d": 24 * time.Hour,
		"1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "1.5s": 1500 * time.Millisecond} {
		t.Run(text, func(t *testing.T) {
			if got, f := parseDuration(text); f != nil || got != want {
				t.Errorf("%q is %v, %v", text, got, f)
			}
		})
	}
	for _, text := range []string{"", "1", "d", "-1s", "1 s", "1y", "1d1d ", "99999999999999d", "-1d"} {
		t.Run(text, func(t *testing.T) {
			if got, f := parseDuration(text); f == nil {
				t.Errorf("%q is taken for %v", text, got)
			}
		})
	}
	for d, want := range map[time.Duration]string{time.Minute: "1m", time.Hour: "1h", 48 * time.Hour: "2d",
		100 * time.Millisecond: "100ms", 90 * time.Second: "1m30s"} {
		if got := ShowDuration(d); got != want {
			t.Errorf("%v is shown as %q", d, got)
		}
	}
}

func TestSchedules(t *testing.T) {
	for text, want := range map[string]string{
		"sat,sun":             "[{41 0 1440}]",
		"mon-fri 08:00-18:00": "[{3e 480 1080}]",
		"fri-mon":             "[{63 0 1440}]",
		"22:00-06:00":         "[{7f 1320 1440} {7f 0 360}]",
		"sat 22:00-00:00":     "[{40 1320 1440}]",
		"sat 22:00-02:00":     "[{40 1320 1440} {1 0 120}]",
		"00:00-24:00":         "[{7f 0 1440}]",
		"Monday":              "[{2 0 1440}]",
	} {
		t.Run(text, func(t *testing.T) {
			items, f := parseSchedule(text)
			var parts []string
			for _, i := range items {
				parts = append(parts, fmt.Sprintf("{%x %d %d}", i.Days, i.From, i.To))
			}
			if got := "[" + strings.Join(parts, " ") + "]"; f != nil || got != want {
				t.Errorf("%q is %s, %v; want %s", text, got, f, want)
			}
		})
	}
}

func TestSuggest(t *testing.T) {
	keys := []string{"name", "interface", "gateway", "gateway6", "check", "nat"}
	for got, want := range map[string]string{"gatway": "gateway", "gatewya": "gateway", "Gateway6": "gateway6",
		"iface": "", "inter": "interface",
		"snat": "nat", "xyz": "", "dev": "interface", "chekc": "check"} {
		t.Run(got, func(t *testing.T) {
			hint := suggest(got, keys)
			if want == "" && !strings.HasPrefix(hint, "valid: ") || want != "" && hint != fmt.Sprintf("did you mean %q?", want) {
				t.Errorf("%q: %s", got, hint)
			}
		})
	}
	if d := distance("ca", "abc"); d != 3 {
		t.Errorf("optimal string alignment of ca and abc is %d, want 3", d)
	}
}

// base is a file with an uplink, for tests that add to it.
const base = "[[uplink]]\nname = \"isp1\"\ninterface = \"eth1\"\ngateway = \"192.0.2.1\"\nnat = \"masquerade\"\n"

func mustParse(t *testing.T, text string, opts Options) *Document {
	t.Helper()
	doc, ds := ParseWith(fstest.MapFS{"p.toml": {Data: []byte(text)}}, "p.toml", "p.toml", opts)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	return doc
}

func TestDefaults(t *testing.T) {
	doc := mustParse(t, base, Options{})
	t.Run("settings", func(t *testing.T) {
		s := doc.Settings
		if s.MarkMask != 0xff000000 || s.RulePriority != 10000 || s.MainFirst != MainFirstSpecific || s.Offload.Mode != OffloadUnmarked ||
			s.Offload.Pos.Line != 0 || s.Sysctl || !s.FlushOnFailover || doc.Watch.Pos.Line != 0 || doc.Watch.Log != "text" ||
			doc.Default != nil {
			t.Errorf("settings %+v, watch %+v", s, doc.Watch)
		}
	})
	t.Run("checks", func(t *testing.T) {
		c := doc.Uplinks[0].Check
		if c.Method != CheckNone || c.Pos.Line != 0 || c.Interval != time.Second || c.Timeout != time.Second ||
			c.DownAfter != 3 || c.UpAfter != 3 || c.Quorum != 1 {
			t.Errorf("check %+v", c)
		}
	})
}

func TestSingleValueWhereverAList(t *testing.T) {
	text := base + `
[lists]
a = %[1]s"10.0.0.1"%[2]s
d = { domains = %[1]s"example.com"%[2]s }
[[table]]
name = "t"
routes = %[1]s{ uplink = "isp1" }%[2]s
[[balance]]
name = "b"
hash = %[1]s"src"%[2]s
members = %[1]s{ uplink = "isp1" }%[2]s
[[policy]]
name = "p"
from = %[1]s"br-lan"%[2]s
src = %[1]s"@a"%[2]s
dst = %[1]s"10.0.0.0/8"%[2]s
proto = %[1]s6%[2]s
sport = %[1]s0x50%[2]s
dport = %[1]s"http"%[2]s
dscp = %[1]s46%[2]s
mac = %[1]s"02:00:00:00:00:01"%[2]s
schedule = %[1]s"sat"%[2]s
table = "t"
[[policy]]
name = "q"
from = %[1]s"local"%[2]s
uid = %[1]s"root"%[2]s
icmp-type = %[1]s"echo-request"%[2]s
table = "t"
[[rule]]
name = "r"
src = %[1]s"10.0.0.0/8"%[2]s
iif = %[1]s"br-lan"%[2]s
tos = %[1]s16%[2]s
uid = %[1]s0%[2]s
table = "t"
`
	strip := func(doc *Document) string { // all but the columns, which the brackets move
		var b strings.Builder
		var rare []RareKeys
		for i := range doc.Policies {
			p := &doc.Policies[i]
			rare, p.RareKeys = append(rare, *p.RareKeys), nil
		}
		for _, part := range strings.Split(fmt.Sprintf("%+v %+v %+v %+v %+v %+v", doc.Lists, doc.Tables, doc.Balances,
			doc.Policies, rare, doc.Rules), "p.toml:") {
			_, rest, _ := strings.Cut(part, ":")
			b.WriteString(strings.TrimLeft(rest, "0123456789") + "\n")
		}
		return b.String()
	}
	single := strip(mustParse(t, fmt.Sprintf(text, "", ""), Options{}))
	list := strip(mustParse(t, fmt.Sprintf(text, "[", "]"), Options{}))
	if single != list || !strings.Contains(single, "From:80 To:80") {
		t.Errorf("as single values:\n%s\nas lists:\n%s", single, list)
	}
}

func TestUsers(t *testing.T) {
	text := base + "[[policy]]\nname = \"p\"\nfrom = \"local\"\nuid = [\"alice\", \"www-data\"]\nuplink = \"isp1\"\n"
	lookup := func(name string) (uint32, bool) { return 1234, name == "alice" }
	doc := mustParse(t, text, Options{LookupUser: lookup})
	if u := doc.Policies[0].UID; u[0].From != 1234 || u[1].From != 33 || u[1].To != 33 {
		t.Errorf("uids %+v", u)
	}
}

func TestGateways(t *testing.T) {
	for keys, want := range map[string]string{
		"":                      "link link",
		`gateway = "192.0.2.1"`: "192.0.2.1 none",
		`gateway6 = "auto"`:     "none auto",
		"gateway = \"link\"\ngateway6 = \"fe80::1\"": "link fe80::1",
	} {
		t.Run(keys, func(t *testing.T) {
			u := mustParse(t, "[[uplink]]\nname = \"u\"\ninterface = \"eth1\"\n"+keys, Options{}).Uplinks[0]
			show := func(g Gateway) string {
				switch {
				case !g.Present:
					return "none"
				case g.Auto:
					return "auto"
				case g.Link:
					return "link"
				}
				return g.Addr.String()
			}
			if got := show(u.Gateway) + " " + show(u.Gateway6); got != want {
				t.Errorf("%q: %s, want %s", keys, got, want)
			}
		})
	}
}

func TestListFiles(t *testing.T) {
	fsys := fstest.MapFS{
		"etc/pbr/p.toml": {Data: []byte(
			"[lists]\na = { file = \"lists/a.txt\" }\nb = { file = \"/srv/b.txt\" }\nc = { file = \"../c.txt\" }\n")},
		"etc/pbr/lists/a.txt": {Data: []byte("\uFEFF10.0.1.0/24\r\n10.0.0.0/24 # both touch\r\n\r\n@b\r\n")},
		"srv/b.txt":           {Data: []byte("2001:db8::/32")},
		"etc/c.txt":           {Data: []byte("# nothing\n10.0.0.0/8\n  bad\n")},
	}
	doc, ds := Parse(fsys, "etc/pbr/p.toml", "/etc/pbr/p.toml")
	if got := fmt.Sprint(doc.Lists[0].Ranges, doc.Lists[1].Ranges,
		doc.Lists[2].Ranges); got != "[10.0.0.0/23 2001:db8::/32] [2001:db8::/32] [10.0.0.0/8]" {
		t.Error(got)
	}
	if len(ds) != 1 || ds[0].Pos != (Pos{"/etc/c.txt", 3, 3}) {
		t.Error(ds)
	}
}

func TestMissingFile(t *testing.T) {
	_, ds := Parse(os.DirFS(t.TempDir()), "pbr.toml", "/etc/pbr/pbr.toml")
	if len(ds) != 1 || ds[0].Code != codeReadFile || ds[0].Pos != (Pos{File: "/etc/pbr/pbr.toml"}) {
		t.Error(ds)
	}
}

// TestMaskTooSmall fills the default mask with uplinks, or with tables.
func TestMaskTooSmall(t *testing.T) {
	var uplinks, tables strings.Builder
	for i := range 256 {
		fmt.Fprintf(&uplinks, "[[uplink]]\nname = \"u%d\"\ninterface = \"eth%d\"\n", i, i)
		fmt.Fprintf(&tables, "[[table]]\nname = \"t%d\"\n", i)
	}
	for _, text := range []string{uplinks.String(), tables.String()} {
		t.Run(text, func(t *testing.T) {
			_, ds := Parse(fstest.MapFS{"p": {Data: []byte(text)}}, "p", "p")
			i := slices.IndexFunc(ds, func(d Diagnostic) bool { return d.Code == CodeMask })
			if i < 0 || ds[i].Pos.Line == 0 || !strings.Contains(ds[i].Hint, "0xff800000") {
				t.Errorf("no error of the mask: %v", ds)
			}
		})
	}
}

func TestWindowEdges(t *testing.T) {
	head := base + "[[policy]]\nname = \"p\"\nuplink = \"isp1\"\nstrict = true\n"
	p := mustParse(t, head+"schedule = \"sat\"\nat-start = \"flush\"\nat-end = \"keep\"\n", Options{}).Policies[0]
	if !p.FlushAtStart || p.FlushAtEnd {
		t.Errorf("%v, %v", p.FlushAtStart, p.FlushAtEnd)
	}
	for text, code := range map[string]string{"at-start = \"flush\"\n": codeConflict,
		"at-end = \"keep\"\n": codeConflict, "schedule = \"sat\"\nat-end = \"cut\"\n": codeBadValue} {
		t.Run(text, func(t *testing.T) {
			_, ds := Parse(fstest.MapFS{"p.toml": {Data: []byte(head + text)}}, "p.toml", "p.toml")
			if len(ds) != 1 || ds[0].Code != code || ds[0].Hint == "" || ds[0].Pos.Line != 9+strings.Count(text, "\n") {
				t.Errorf("%q: %v", text, ds)
			}
		})
	}
}

func TestCommonKeysOfLists(t *testing.T) {
	text := base + `[lists]
a = ["192.0.2.1", { domains = "example.com", disabled = true, comment = "later" }]
b = { dynamic = true, disabled = true }
c = { file = "c.txt", comment = "of c" }
[schedules]
s = { days = "sat", comment = "of s" }
[[policy]]
name = "p"
src = ["@a", "@b", "@c"]
schedule = "s"
uplink = "isp1"
strict = true
`
	doc, ds := Parse(fstest.MapFS{"p.toml": {Data: []byte(text)}, "c.txt": {Data: []byte("10.0.0.0/8")}}, "p.toml", "p.toml")
	t.Run("a disabled member whose list is used is reported", func(t *testing.T) {
		if len(ds) != 1 || ds[0].Code != codeLeftOut || ds[0].Pos.Line != 8 {
			t.Errorf("%v", ds)
		}
	})
	t.Run("disabled members are not in their lists", func(t *testing.T) {
		if doc.Lists[0].RunTime() || doc.Lists[1].RunTime() || len(doc.Lists[0].Ranges) != 1 || len(doc.Lists[2].Ranges) != 1 {
			t.Errorf("%+v", doc.Lists)
		}
	})
	t.Run("comments are those of objects and members", func(t *testing.T) {
		if got := fmt.Sprint(Comments(doc)); got != "[{list a later} {list c of c} {schedule s of s}]" {
			t.Error(got)
		}
	})
	t.Run("what is disabled is listed", func(t *testing.T) {
		if len(doc.Disabled) != 2 || doc.Disabled[0].Kind != "list" || doc.Disabled[0].Comment != "later" || doc.Disabled[1].Name != "b" {
			t.Errorf("%+v", doc.Disabled)
		}
	})
	t.Run("what is disabled is checked all the same", func(t *testing.T) {
		_, ds := Parse(fstest.MapFS{"p.toml": {Data: []byte(base +
			"[lists]\na = { url = \"ftp://x\", disabled = true }\n[schedules]\ns = { days = \"sat\", disabled = " +
			"true }\n")}}, "p.toml", "p.toml")
		if !ds.HasErrors() || ds[0].Code != codeBadValue || ds[1].Code != codeUnknownKey {
			t.Errorf("%v", ds)
		}
	})
}
