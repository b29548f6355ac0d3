package mwan3

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/from"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
)

var update = flag.Bool("update", false, "rewrite the wanted policies and reports")

// fixtures has one directory per configuration: mwan3, network, and the policy and the report that
// come of them.
const fixtures = "../../../fixtures/import/mwan3"

func parsePolicy(t testing.TB, text string) (*policy.Document, []string) {
	t.Helper()
	doc, ds := policy.Parse(fstest.MapFS{"policy": {Data: []byte(text)}}, "policy", "policy")
	if ds.HasErrors() {
		t.Fatalf("%v in\n%s", ds, text)
	}
	var warnings []string
	for _, d := range ds {
		warnings = append(warnings, d.Error())
	}
	return doc, warnings
}

func TestGolden(t *testing.T) {
	cases, _ := filepath.Glob(fixtures + "/*/mwan3")
	if len(cases) < 4 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, path := range cases {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			r := importDir(t, dir)
			doc, warnings := parsePolicy(t, r.Policy)
			if len(doc.Uplinks) > 0 && !(policy.Forwards(doc) && doc.Settings.Sysctl) {
				t.Error("what is imported forwards nothing")
			}
			compare(t, filepath.Join(dir, "policy.toml"), r.Policy)
			report := r.Report("config", warnings)
			compare(t, filepath.Join(dir, "report"), report)
			if strings.Contains(r.Policy+report, "verysecret") {
				t.Error("a secret is repeated")
			}
			for _, s := range r.Statements {
				if text, _ := s.Show(); !s.Accounted() || strings.Contains(text, "verysecret") {
					t.Errorf("line %d: %s", s.Line, text)
				}
			}
		})
	}
}

func importDir(t *testing.T, dir string) *from.Result {
	t.Helper()
	files := Files{MWAN3Name: "config/mwan3", NetworkName: "config/network"}
	var err error
	if files.MWAN3, err = os.ReadFile(filepath.Join(dir, "mwan3")); err != nil {
		t.Fatal(err)
	}
	if files.Network, err = os.ReadFile(filepath.Join(dir, "network")); err != nil {
		t.Fatal(err)
	}
	r, err := Import(files, from.Options{File: "config"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is not what comes out now (run with -update if that is right):\n%s", path, got)
	}
}

// Packets of the configuration with both lines go where mwan3 sends them.
func TestWays(t *testing.T) {
	r := importDir(t, fixtures+"/enabled")
	doc, _ := parsePolicy(t, r.Policy)
	p, ds := compiler.Compile(doc, plan.HostFacts{}, nil)
	if p == nil {
		t.Fatal(ds)
	}
	router, err := walk.NewRouter(p, &walk.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{"br-lan", ""} {
		for _, dst := range []string{"9.9.9.9", "2001:db8:9::9"} {
			t.Run(fmt.Sprintf("from %q to %s", in, dst), func(t *testing.T) {
				a := netip.MustParseAddr(dst)
				src := netip.MustParseAddr("192.168.10.7")
				if a.Is6() {
					src = netip.MustParseAddr("2001:db8:10::7")
				}
				var ways []string
				for _, w := range router.First(&walk.Packet{IIF: in, Src: src, Dst: a, Proto: 6, SPort: 40000, DPort: 443}) {
					ways = append(ways, w.Dev)
				}
				slices.Sort(ways)
				if ways = slices.Compact(ways); !slices.Equal(ways, []string{"wan1", "wan2"}) {
					t.Errorf("from %q to %s by %q", in, dst, ways)
				}
			})
		}
	}
}

// What mwan3 keeps from every line is kept from every uplink: by use_policy, and by the last_resort
// of a policy without lines.
func TestClosed(t *testing.T) {
	config := "config interface 'wan'\n\toption enabled '1'\nconfig interface 'wanb'\n\toption enabled '0'\n" +
		"config member 'b'\n\toption interface 'wanb'\n" +
		"config policy 'onlyb'\n\tlist use_member 'b'\nconfig policy 'maybeb'\n\tlist use_member 'b'\n\toption last_resort 'default'\n"
	for i, name := range []string{"unreachable", "blackhole", "onlyb", "maybeb"} {
		config += "config rule 'r" + name + "'\n\toption src_ip '192.168.1." + string(rune('1'+i)) +
			"'\n\toption use_policy '" + name + "'\n"
	}
	network := "config interface 'wan'\n\toption device 'eth1'\n\toption proto 'static'\n\toption gateway '192.0.2.1'\n"
	r, err := Import(Files{MWAN3Name: "mwan3", MWAN3: []byte(config), NetworkName: "network", Network: []byte(network)},
		from.Options{File: "x"})
	if err != nil {
		t.Fatal(err)
	}
	doc, warnings := parsePolicy(t, r.Policy)
	p, ds := compiler.Compile(doc, plan.HostFacts{}, nil)
	if p == nil {
		t.Fatal(ds)
	}
	router, err := walk.NewRouter(p, &walk.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	for src, want := range map[string]walk.Fate{"192.168.1.1": walk.Unreachable, "192.168.1.2": walk.Discarded,
		"192.168.1.3": walk.Unreachable,
		"192.168.1.4": walk.Forwarded, "192.168.1.5": walk.Forwarded} {
		t.Run(src, func(t *testing.T) {
			ways := router.First(&walk.Packet{IIF: "lan", Src: netip.MustParseAddr(src),
				Dst: netip.MustParseAddr("9.9.9.9"), Proto: 6, SPort: 40000, DPort: 443})
			if len(ways) != 1 || ways[0].Fate != want {
				t.Errorf("%s: %+v\n%s\n%s", src, ways, r.Policy, r.Report("x", warnings))
			}
		})
	}
	for _, s := range r.Statements {
		if !s.Accounted() {
			t.Errorf("line %d: nothing was said of it", s.Line)
		}
	}
}

// The example of docs/from-mwan3.md is what comes out.
func TestDocsExample(t *testing.T) {
	text, err := os.ReadFile("../../../docs/from-mwan3.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "## Before and after")
	parts := strings.Split(after, "```")
	if len(parts) < 6 {
		t.Fatal("no example")
	}
	r, err := Import(Files{MWAN3Name: "config/mwan3", MWAN3: []byte(strings.TrimPrefix(parts[1], "\n")),
		NetworkName: "config/network", Network: []byte(parts[3])},
		from.Options{File: "config"})
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimPrefix(parts[5], "toml\n"); want != r.Policy {
		t.Errorf("docs/from-mwan3.md has\n%s\nand what comes out is\n%s", want, r.Policy)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
		want string
	}{
		{"", 0, "no section of mwan3"},
		{"config interface 'wan'\n\toption enabled '1\n", 2, "never ends"},
		{"\x00\x01", 0, "binary"},
		{"server {\n", 1, "want config"},
		{"option x 'y'\n", 1, "want config"},
		{"config system\n\toption hostname 'x'\n", 0, "no section of mwan3"},
	} {
		t.Run(c.text, func(t *testing.T) {
			_, err := Import(Files{MWAN3Name: "mwan3", MWAN3: []byte(c.text)}, from.Options{File: "x"})
			var bad *Error
			if !errors.As(err, &bad) || bad.Line != c.line || !strings.Contains(bad.Message, c.want) {
				t.Errorf("%q: %v", c.text, err)
			}
		})
	}
}

// --map names devices, or interfaces of mwan3's.
func TestRename(t *testing.T) {
	text := "config interface 'wan'\n\toption enabled '1'\nconfig interface 'wanb'\n\toption enabled '1'\n"
	network := "config interface 'wan'\n\toption device 'eth1'\n\toption proto 'dhcp'\nconfig interface 'wanb'\n" +
		"\toption proto 'dhcp'\n\toption device 'eth2'\n"
	r, err := Import(Files{MWAN3Name: "mwan3", MWAN3: []byte(text), NetworkName: "network", Network: []byte(network)},
		from.Options{File: "x", Rename: map[string]string{"eth1": "enp1s0", "wanb": "enp2s0"}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Policy, `interface = "enp1s0"`) || !strings.Contains(r.Policy, `interface = "enp2s0"`) {
		t.Errorf("the policy:\n%s", r.Policy)
	}
}

func FuzzImport(f *testing.F) {
	for _, dir := range []string{"shipped", "mixed", "rules", "enabled"} {
		mwan3, err := os.ReadFile(filepath.Join(fixtures, dir, "mwan3"))
		if err != nil {
			f.Fatal(err)
		}
		network, err := os.ReadFile(filepath.Join(fixtures, dir, "network"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(mwan3, network)
	}
	f.Fuzz(func(t *testing.T, mwan3, network []byte) {
		r, err := Import(Files{MWAN3Name: "mwan3", MWAN3: mwan3, NetworkName: "network", Network: network}, from.Options{File: "x"})
		if err != nil {
			return
		}
		_, warnings := parsePolicy(t, r.Policy)
		r.Report("x", warnings)
	})
}
