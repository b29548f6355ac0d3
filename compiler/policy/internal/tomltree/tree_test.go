package tomltree

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// agree compares this reader with BurntSushi/toml, as the independent judge of what TOML is.
func agree(t *testing.T, text string) {
	t.Helper()
	var want map[string]any
	_, wantErr := toml.Decode(text, &want)
	tree, errs := Parse(text)
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") || slices.ContainsFunc(errs, bounded) {
		// BurntSushi passes over a mark of UTF-16 that UTF-8 follows, which TOML forbids, and it
		// bounds nothing.
		if len(errs) == 0 {
			t.Fatalf("we take UTF-16:\n%q", text)
		}
		return
	}
	if len(errs) > 0 {
		// BurntSushi lets some tables be defined twice that TOML forbids, and takes dates a little
		// further from UTC than there are; there we may be the stricter one.
		if wantErr == nil && !slices.ContainsFunc(errs, func(e SyntaxError) bool {
			return e.Duplicate ||
				farFromUTC.MatchString(e.Message)
		}) {
			t.Fatalf("BurntSushi takes it, we say %v, of:\n%s", errs, text)
		}
		return
	}
	if wantErr != nil {
		t.Fatalf("BurntSushi says %v, we take it:\n%s", wantErr, text)
	}
	if got, want := plainFields(tree), plainOther(want); !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %v\nwant %v\nof:\n%s", got, want, text)
	}
}

// farFromUTC is an offset that Go's time package takes: 24 hours, or 60 minutes.
var farFromUTC = regexp.MustCompile(`^invalid value ".*[+-](24:\d\d|\d\d:60)"`)

// bounded reports whether an error is one of the bounds that TOML does not have.
func bounded(e SyntaxError) bool {
	return strings.Contains(e.Message, "parts") || strings.Contains(e.Message, "nested")
}

var documents = []string{
	"# c\r", "a = 1 # c\r", "a = 1\r", "\r", "a = 1 # c\r\n", "\xff\xfe", "\xfe\xff", "\xff\xfea\x00", "\xff\xfe# x",
	strings.Repeat("a.", 40) + "a = 1", "[" + strings.Repeat("a.", 40) + "a]",
	"", "# only a comment", "a = 1\nb = 'x'\r\n\r\nc = true # yes\n", "\uFEFFa = 1",
	"a = 0xff\nb = 0o17\nc = 0b101\nd = 1_000\ne = +7\nf = -0\n", "a = 0x_1", "a = 01", "a = 1__0", "a = 9223372036854775808",
	"a = 1.5\nb = 1e3\nc = -2.5E-3\nd = inf\ne = -nan\nf = 1_0.0_1\n", "a = 1.", "a = 1e700", "a = -1e-700", "a = .5", "a = 1.e3", "a = 1e",
	"a = 2024-01-02\nb = 2024-01-02T03:04:05Z\nc = 2024-01-02 03:04:05.123\nd = 03:04:05\ne = 2024-01-02t03:04:05+01:00\n",
	"a = 2024-13-02", "a = true\nb = True", "a = \n", "a", "a =", "= 1", "a b = 1",
	`a = "x\ty\"\\é\U0001F600"`, `a = "\q"`, `a = "\ud800"`, `a = "open`, "a = \"line\nbreak\"", `a = 'C:\x'`,
	"a = \"\"\"\nfirst\nsecond \\\n   joined \"quoted\" \"\"\"\"\n", "a = '''\nraw \\ '' '''", "a = \"\"\"never closed",
	"a = [1, 2, [3, 'x'], {b = 1}]\nb = [\n 1, # one\n 2,\n]\nc = []\n", "a = [1 2]", "a = [1,,2]", "a = [1", "a = [,]",
	"a = { b = 1, c.d = 2, c.e = 3 }\nf = {}\n", "a = { b = 1,\n  c = 2, # comment\n}\n", "a = { b = 1 c = 2 }",
	"a = { b = 1, b = 2 }", "a = {",
	"[a]\nb = 1\n[a.c]\nd = 2\n[e.f.g]\nh = 1\n[e]\ni = 1\n", "[a]\n[a]\n", "[a", "[a]]", "[[a]", "[]", "[a.]", "[a] b = 1",
	"[[a]]\nx = 1\n[[a]]\nx = 2\n[a.b]\ny = 1\n[[a.c]]\nz = 1\n", "[[a]]\n[a]\n", "a = []\n[[a]]\n", "a = 1\n[a]\n", "a = 1\n[a.b]\n",
	"a = {}\n[a.b]\n", "a.b = 1\na.c = 2\n", "a.b = 1\na.b.c = 2\n", "a = {b = 1}\na.c = 2\n", "[a.b]\nc = 1\n[a]\nb.d = 2\n",
	"[a]\nb.c = 1\n[a.b]\n", "[a]\nb.c = 1\n[a.b.d]\nx = 1\n", "\"a b\" = 1\n'c' = 2\n\"\" = 3\n", "a = 1\na = 2\n",
	"a = 1 b = 2", "a = 1 # \x01",
	"a = \"\x00\"", "a = \"\xff\"", "a = { b.c = 1, b.d = { e = 1 } }", "a = \"\\x41\\e\"\n", "a = 10:30\n",
}

func TestAgreesWithBurntSushi(t *testing.T) {
	for i, text := range documents {
		t.Run(fmt.Sprint(i), func(t *testing.T) { agree(t, text) })
	}
}

func FuzzAgreesWithBurntSushi(f *testing.F) {
	for _, text := range documents {
		f.Add(text)
	}
	for name, text := range corpus(f) {
		if !strings.HasSuffix(name, ".json") {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, errs := Parse(text)
		for _, e := range errs {
			if lines := strings.Count(text, "\n") + 1; e.Line < 1 || e.Line > lines || e.Col < 1 || e.Message == "" {
				t.Fatalf("error without a place: %+v", e)
			}
		}
		agree(t, text)
	})
}

func TestPlaces(t *testing.T) {
	tree, errs := Parse("\"ä\" = 'ü'\n[[uplink]] # first\n  name = \"x\"\nroutes = [ { uplink = 'a', distance = 1 },\n" +
		"\t{ uplink = '€', distance = 0x2 } ]\n[[uplink]]\n")
	if errs != nil {
		t.Fatal(errs)
	}
	var got []string
	var walk func(prefix string, f *Fields)
	walk = func(prefix string, f *Fields) {
		for i := range f.List {
			e := &f.List[i]
			got = append(got, fmt.Sprintf("%s%s %d:%d=%d:%d", prefix, e.Key, e.Line, e.Col, e.Value.Line, e.Value.Col))
			if e.Value.Kind == Array {
				for j := range *e.Value.Items {
					n := &(*e.Value.Items)[j]
					got = append(got, fmt.Sprintf("%s%s[%d] %d:%d", prefix, e.Key, j, n.Line, n.Col))
					if n.Kind == Table {
						walk(prefix+e.Key+".", n.Fields)
					}
				}
			}
		}
	}
	walk("", tree)
	want := []string{"ä 1:1=1:7", "uplink 2:3=2:1", "uplink[0] 2:1", "uplink.name 3:3=3:10", "uplink.routes 4:1=4:10",
		"uplink.routes[0] 4:12", "uplink.routes.uplink 4:14=4:23", "uplink.routes.distance 4:28=4:39", "uplink.routes[1] 5:2",
		"uplink.routes.uplink 5:4=5:13", "uplink.routes.distance 5:18=5:29", "uplink[1] 6:1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// No text takes long, or more of the stack than there is.
func TestHostile(t *testing.T) {
	const n = 20_000
	for _, c := range []struct{ before, again, after string }{
		{"a = ", "[", ""}, {"a = ", "{a=", ""}, {"a = ", "[", strings.Repeat("]", n)}, {"", "a.", "a = 1"},
		{"[", "a.", "a]"}, {"a = ", "[\n", ""},
		{"", "[a.b.c]\n", ""}, {"", "a = 1\n", ""}, {"", "[\n", ""}, {"", "[[a]]\nb = [\n", ""}, {"", "a = '''\n", ""},
		{"a = \"", "\\", ""},
		{"", "\x00", ""}, {"", "\xff", ""}, {"", "\r", ""}, {"\uFEFF", "\uFEFF", ""}, {"a = 1", "0", ""},
		{"a = 0.", "0", "."}, {"a = ", "\"", ""},
		{"a = \"\"\"", "\"\"\\\n", ""}, {"a = [", "{},", ""}, {"a = [", "1 ", ""},
	} {
		t.Run(fmt.Sprintf("%q again and again", c.before+c.again), func(t *testing.T) {
			if _, errs := Parse(c.before + strings.Repeat(c.again, n) + c.after); len(errs) == 0 {
				t.Errorf("%q: taken", c.before+c.again)
			}
		})
	}
}
