package graph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/policy"
)

const text = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
[[table]]
name = "to2"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[balance]]
name = "pool"
members = [{ uplink = "isp1", weight = 2 }, { uplink = "isp2" }]
[[policy]]
name = "voip"
dport = 5060
proto = "udp"
table = "to2"
[[policy]]
name = "web"
dport = 443
balance = "pool"
[[policy]]
name = "mail"
dport = 25
uplink = "isp2"
strict = true
[[rule]]
name = "cams"
src = "10.0.0.5"
action = "unreachable"
`

func document(t *testing.T, text string) *policy.Document {
	t.Helper()
	doc, ds := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	return doc
}

func drawn(t *testing.T, draw func(io.Writer, *Graph) error, g *Graph) string {
	t.Helper()
	var b bytes.Buffer
	if err := draw(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPolicyAlone(t *testing.T) {
	got := drawn(t, Text, New(document(t, text), nil))
	want := `policy voip
╚══> table to2
     ╠══> isp2  distance 1
     └─>  isp1  distance 2

policy web
╚══> balance pool  (hash)
     ╠══> isp1  67 %
     ╚══> isp2  33 %

policy mail
╚══> isp2

rule cams
╚══> unreachable  unreachable

everything else
╚══> table default
     ╠══> isp1  distance 1
     └─>  isp2  distance 2

uplinks
   isp1  wan1
   isp2  wan2
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// down is the router while isp2 is down.
func down() *Live {
	return &Live{
		Uplinks: map[string]State{"isp1": {"up", true, ""}, "isp2": {"down", false, "8.8.8.8: no answer <in> 1s"}},
		Ways: []Way{{"to2", "default", 4, []string{"isp1"}, false}, {"default", "default", 4, []string{"isp1"}, false},
			{"to2", "default", 6, []string{"isp1"}, false}, {"default", "default", 6, []string{"isp1"}, false}},
		Members: map[[2]string]bool{{"pool", "isp1"}: true, {"pool", "isp2"}: false},
		Hits:    map[string]uint64{"voip": 412, "web": 1}, Refused: map[string]bool{PolicyID("mail"): true},
	}
}

func TestLive(t *testing.T) {
	g := New(document(t, text), down())
	t.Run("text shows what is in use, and why the rest is not", func(t *testing.T) {
		got := drawn(t, Text, g)
		want := `policy voip (412 hits)
╚══> table to2
     ├─>  isp2  distance 1  not usable: 8.8.8.8: no answer <in> 1s
     ╚══> isp1  distance 2

policy web (1 hit)
╚══> balance pool  (hash)
     ╠══> isp1  100 %
     └─>  isp2  weight 1  not usable: 8.8.8.8: no answer <in> 1s

policy mail
├─>  isp2  not usable: 8.8.8.8: no answer <in> 1s
╚══> unreachable  now

rule cams
╚══> unreachable  unreachable

everything else
╚══> table default
     ╠══> isp1  distance 1
     └─>  isp2  distance 2  not usable: 8.8.8.8: no answer <in> 1s

uplinks
   isp1  wan1 up
   isp2  wan2 down  not usable: 8.8.8.8: no answer <in> 1s
`
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("the way in use is thicker, one that is not usable is dashed", func(t *testing.T) {
		dot := drawn(t, Dot, g)
		for _, part := range []string{`"policy/voip" -> "table/to2" [label="", penwidth=3]`,
			`"table/to2" -> "uplink/isp2" [label="distance 1", style=dashed, color=gray60]`} {
			if !strings.Contains(dot, part) {
				t.Errorf("dot lacks %s:\n%s", part, dot)
			}
		}
	})
}

// A policy can refuse.
func TestRefusing(t *testing.T) {
	got := drawn(t, Text, New(document(t, text+"[[policy]]\nname = \"telnet\"\ndport = 23\naction = \"drop\"\n"), nil))
	if !strings.Contains(got, "policy telnet\n╚══> unreachable or dropped  drop\n") {
		t.Error(got)
	}
}

// One version has another way than the other.
func TestVersionsApart(t *testing.T) {
	live := down()
	live.Uplinks["isp2"] = State{"mixed", true, ""}
	live.Ways[0].Uplinks = []string{"isp2"}
	got := drawn(t, Text, New(document(t, text), live))
	if !strings.Contains(got, "╠══> isp2  distance 1, IPv4\n") || !strings.Contains(got, "╚══> isp1  distance 2, IPv6\n") {
		t.Error(got)
	}
}

// A picture is XML, whatever is written in it, has a box for each node, and no label lies on
// another.
func TestSVG(t *testing.T) {
	for _, standalone := range []bool{true, false} {
		t.Run(fmt.Sprintf("standalone=%v", standalone), func(t *testing.T) {
			got := drawn(t, func(w io.Writer, g *Graph) error {
				return SVG(w, g, Style{Standalone: standalone, Link: func(n Node) string { return "/line/" + n.Name }})
			}, New(document(t, text), down()))
			wellFormed(t, got)
			if n := strings.Count(got, "<rect"); n != 11 {
				t.Errorf("%d boxes\n%s", n, got)
			}
			if strings.Contains(got, "<style>") != standalone || strings.Contains(got, "<in>") {
				t.Error(got)
			}
		})
	}
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

// Many policies with the same ways become one box, so that a picture stays one.
func TestFolded(t *testing.T) {
	var b strings.Builder
	b.WriteString(text)
	hits := map[string]uint64{}
	for i := range 1000 {
		fmt.Fprintf(&b, "[[policy]]\nname = \"p%d\"\nsrc = \"10.%d.%d.1\"\ntable = \"to2\"\n", i, 1+i/250, i%250)
		hits[fmt.Sprintf("p%d", i)] = 2
	}
	live := down()
	live.Hits = hits
	g := Folded(New(document(t, b.String()), live))
	t.Run("the box counts its policies and their hits", func(t *testing.T) {
		n := g.Node("policy/voip")
		if n == nil || n.Name != "1001 policies" || n.Detail != "voip, p0, p1, ..." || *n.Hits != 2000 {
			t.Errorf("%+v", n)
		}
	})
	t.Run("few boxes are left", func(t *testing.T) {
		if len(g.Nodes) > 15 {
			t.Errorf("%d nodes are left", len(g.Nodes))
		}
	})
	wellFormed(t, drawn(t, func(w io.Writer, g *Graph) error { return SVG(w, g, Style{}) }, New(document(t, b.String()), live)))
}

// tall is a policy whose default has many uplinks, one distance each, and a table of the first two.
func tall(uplinks int) string {
	var b strings.Builder
	var routes []string
	for i := range uplinks {
		fmt.Fprintf(&b, "[[uplink]]\nname = \"line%03d\"\ninterface = \"eth%d\"\ngateway = \"10.200.%d.1\"\n", i, i, i)
		routes = append(routes, fmt.Sprintf("{ uplink = \"line%03d\", distance = %d }", i, i+1))
	}
	fmt.Fprintf(&b, "[pbr]\nmark-mask = 0xfff00000\n[default]\nroutes = [%s]\n[[table]]\nname = "+
		"\"first\"\nroutes = [%s]\n", strings.Join(routes, ", "), strings.Join(routes[:2], ", "))
	for i := range uplinks {
		fmt.Fprintf(&b, "[[policy]]\nname = \"p%d\"\nsrc = \"10.1.1.%d\"\nuplink = \"line%03d\"\nstrict = true\n", i, i, i)
	}
	return b.String() + "[[policy]]\nname = \"x\"\nsrc = \"10.1.2.1\"\ntable = \"first\"\n"
}

// Many uplinks that are alike become one box: those in use, in reserve and not usable stay apart.
// So a table of 200 routes is a picture that fits a screen.
func TestManyUplinks(t *testing.T) {
	live := &Live{Uplinks: map[string]State{}, Ways: []Way{{"default", "default", 4, []string{"line000"}, false},
		{"first", "default", 4, []string{"line000"}, false}}}
	for i := range 10 {
		live.Uplinks[fmt.Sprintf("line%03d", 190+i)] = State{"down", false, "no answer"}
	}
	g := New(document(t, tall(200)), live)
	folded := Folded(g)
	t.Run("those in use, in reserve and not usable stay apart", func(t *testing.T) {
		var got []string
		for _, n := range folded.Nodes {
			if n.Kind == Uplink {
				got = append(got, fmt.Sprintf("%s, unusable %v, %.16s, why %q", n.Name, n.Unusable, n.Detail, n.Why))
			}
		}
		for _, e := range folded.From("table/default") {
			got = append(got, fmt.Sprintf("%s: %s, in use %v", e.To, e.Label, e.InUse))
		}
		want := []string{`line000, unusable false, eth0, why ""`, `line001, unusable false, eth1, why ""`,
			`188 uplinks, unusable false, line002, line003, why ""`,
			`10 uplinks, unusable true, line190, line191, why "no answer"`,
			"uplink/line000: distance 1, in use true", "uplink/line001: distance 2, in use false",
			"uplink/line002: distance 3 to 190, in use false",
			"uplink/line190: distance 191 to 200, in use false"}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	t.Run("the picture fits a screen", func(t *testing.T) {
		picture := drawn(t, func(w io.Writer, g *Graph) error { return SVG(w, g, Style{}) }, g)
		wellFormed(t, picture)
		if l := arrange(folded); l.height > 800 {
			t.Errorf("the picture is %d high", l.height)
		}
	})
	t.Run("text names all of them", func(t *testing.T) {
		if text := drawn(t, Text, g); !strings.Contains(text, "line150") {
			t.Error("text does not name all uplinks")
		}
	})
}

// Labels of ways that become one.
func TestSpan(t *testing.T) {
	for want, labels := range map[string][]string{
		"distance 2 to 9": {"distance 3", "distance 9", "distance 2"}, "distance 2": {"distance 2", "distance 2"},
		"1 % each": {"1 %", "1 %"},
		"":         {"", ""}, "a, ...": {"a", "b"}, "weight 1 to 3": {"weight 1", "weight 3"},
	} {
		t.Run(want, func(t *testing.T) {
			if got := span(labels); got != want {
				t.Errorf("%q: %q, want %q", labels, got, want)
			}
		})
	}
}
