package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
)

const benchHead = `
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "eth2"
gateway = "198.51.100.1"
nat = "masquerade"
[[table]]
name = "t1"
routes = { uplink = "isp2" }
[default]
routes = { uplink = "isp1" }
`

// manyPolicies writes n policies of five keys.
func manyPolicies(n int) string {
	var b strings.Builder
	b.WriteString(benchHead)
	for i := range n {
		fmt.Fprintf(&b, "[[policy]]\nname = \"p%d\"\nsrc = \"10.%d.%d.0/24\"\nproto = \"tcp\"\ndport = [80, "+
			"443]\ntable = \"t1\"\n\n", i, i>>8, i&255)
	}
	return b.String()
}

// manyEntries returns n addresses in random order, each with the text around it.
func manyEntries(n int, before, after string) string {
	var b strings.Builder
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		fmt.Fprintf(&b, "%s%d.%d.%d.%d%s\n", before, 20+i>>16, i>>8&255, i&255, i%200, after)
	}
	return b.String()
}

func benchParse(b *testing.B, files map[string]string) {
	fsys := fstest.MapFS{}
	size := 0
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
		size += len(text)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, ds := Parse(fsys, "pbr.toml", "pbr.toml"); ds.HasErrors() {
			b.Fatal(ds[0])
		}
	}
}

func BenchmarkPolicies10k(b *testing.B) {
	benchParse(b, map[string]string{"pbr.toml": manyPolicies(10000)})
}

func BenchmarkInline100k(b *testing.B) {
	benchParse(b, map[string]string{"pbr.toml": benchHead + "[lists]\nbig = [\n" + manyEntries(100000, `  "`, `",`) + "]\n"})
}

func BenchmarkListFile100k(b *testing.B) {
	benchParse(b, map[string]string{"pbr.toml": benchHead + "[lists]\nbig = { file = \"big.txt\" }\n",
		"big.txt": manyEntries(100000, "", "")})
}

// BenchmarkLarge is the largest file that pbr promises to be quick with.
func BenchmarkLarge(b *testing.B) {
	text := manyPolicies(10000) + "[[policy]]\nname = \"lists\"\nsrc = [\"@big\", \"@inline\"]\ntable = \"t1\"\n" +
		"[lists]\nbig = { file = \"big.txt\" }\ninline = [\n" + manyEntries(100000, `  "`, `",`) + "]\n"
	benchParse(b, map[string]string{"pbr.toml": text, "big.txt": manyEntries(100000, "", "")})
}
