package cost

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// The frozen rulesets are what version 13b5d16 printed for the same policies:
//
//	pbr --config FILE compile --format nft
//
// pbr is measured beside nft -f of them: a text of today's that nft loads faster must not make pbr
// look slower. Those of 10 and 1,000 policies are kept as they were. Larger ones, and those of
// lists, are made of that of 1,000; sums of what the version printed show that they are the same.
const (
	frozenSmall = "testdata/13b5d16-10.nft"
	frozenMany  = "testdata/13b5d16-1000.nft.gz"
	frozenMost  = 1000 // policies of frozenMany
)

// frozenSums are the SHA-256 sums of the version's texts, by policies and by addresses of a list.
var frozenSums = map[workload]string{
	{policies: 10}:         "0d0e6a75c170ad358c7c53417f024181f9a8511b8954a0b95f0e85465791bb63",
	{policies: 1_000}:      "d09057a29e6166f48e6748b72e852d07880417649a28efefc8ef1c0e3c93c0b3",
	{policies: 10_000}:     "c2dcb1941d2a7d4e91c28dcfb2093d949774a4b2919e7028a715282caf3b78a6",
	{policies: 100_000}:    "60bb525cd683a576342a36d7af96f1731c15ade788240bda50d0edd3b21522dc",
	{addresses: 1_000}:     "aa37e6da4fd5eff141f4b4ba36011f051c44da9881775a2b245087f3ca3a606a",
	{addresses: 100_000}:   "b121d5407e331cbd60791736712eb63e376361ce9843a151f314818fef2f2ddf",
	{addresses: 1_000_000}: "65f9fd4432d29dc14970f87736aa236c9cb847ed160427fb8c852503c743e228",
}

// TestFrozenTexts: what is measured beside pbr is what that version printed. Benchmarks see that
// for larger ones.
func TestFrozenTexts(t *testing.T) {
	t.Parallel()
	for w := range frozenSums {
		if w.policies+w.addresses <= 10_000 {
			t.Run(w.String(), func(t *testing.T) { frozen(t, w) })
		}
	}
}

// frozen returns the frozen text of a workload, which has to be what the version printed.
func frozen(t testing.TB, w workload) string {
	t.Helper()
	text := madeOfKept(t, w)
	if sum := sha256.Sum256([]byte(text)); hex.EncodeToString(sum[:]) != frozenSums[w] {
		t.Fatalf("%v: the frozen text of %d bytes is another: %.300q", w, len(text), text)
	}
	return text
}

func madeOfKept(t testing.TB, w workload) string {
	t.Helper()
	if w.policies == 10 {
		return string(read(t, frozenSmall))
	}
	z, err := gzip.NewReader(bytes.NewReader(read(t, frozenMany)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if w.policies == frozenMost {
		return string(text)
	}
	return resized(string(text), w)
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// resized puts what a workload has into the text of 1,000 policies: its counters, maps and chains,
// and rules that look something up in these.
func resized(text string, w workload) string {
	objects, rest := splitAt(text, "\tcounter policy-")
	_, common := splitAt(rest, "\tmap marks {")
	common, chains := splitAt(common, "\tchain policy-")
	_, chains = splitAt(chains, "\tchain classify {")
	if w.addresses > 0 {
		rules, after := splitAt(chains, "\t\tmeta nfproto")
		_, after = splitAt(after, "\t}\n")
		return objects + frozenCounter("listed") + frozenList(w.addresses) + common + rules + frozenListRule + after
	}
	return objects + frozenCounters(w.policies) + frozenMaps(w.policies) + common + frozenChains(w.policies) + chains
}

// splitAt returns what is before the first place of a mark, and the mark with what follows.
func splitAt(text, mark string) (before, from string) {
	i := strings.Index(text, mark)
	if i < 0 {
		panic("the frozen text lacks " + mark)
	}
	return text[:i], text[i:]
}

func frozenCounter(policy string) string {
	return fmt.Sprintf("\tcounter policy-%s {\n\t\tcomment \"policy %[1]s\"\n\t}\n\n", policy)
}

// frozenCounters are sorted by their names.
func frozenCounters(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = frozenCounter(fmt.Sprintf("p%d", i))
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// frozenMaps has one for each group, by name.
func frozenMaps(n int) string {
	var keys [servers + 1][]string
	for i := range n {
		g, k := of(i, n)
		key := ""
		switch g {
		case exceptions:
			key = fmt.Sprintf("%v . %v . udp . %d", plus(hosts, k), plus(destinations, k*netSize), firstPort+k%ports)
		case singles:
			key = plus(hosts, k).String()
		case networks:
			key = plus(hosts, k*netSize).String()
		case servers:
			key = plus(destinations, k*netSize).String()
		}
		keys[g] = append(keys[g], fmt.Sprintf("%s : goto policy-p%d", key, i))
	}
	const tuple = "ipv4_addr . ipv4_addr . inet_proto . inet_service"
	return frozenSet("map classify-ip-dst/28", "ipv4_addr : verdict", "policies of classify", keys[servers]) +
		frozenSet("map classify-ip-src", "ipv4_addr : verdict", "policies of classify", keys[singles]) +
		frozenSet("map classify-ip-src-dst/28-proto-dport", tuple+" : verdict", "policies of classify", keys[exceptions]) +
		frozenSet("map classify-ip-src/28", "ipv4_addr : verdict", "policies of classify", keys[networks])
}

func frozenSet(name, of, comment string, elements []string) string {
	var t strings.Builder
	fmt.Fprintf(&t, "\t%s {\n\t\ttype %s\n\t\tcomment %q\n\t\telements = { ", name, of, comment)
	const column = 96 - len("\t\telements = { ") // a line goes on until it is longer
	for line, i := 0, 0; i < len(elements); i++ {
		switch {
		case i > 0 && line > column:
			t.WriteString("\n\t\t\t     ")
			line = 0
		case i > 0:
			t.WriteString(" ")
			line++
		}
		text := elements[i]
		if i < len(elements)-1 {
			text += ","
		}
		t.WriteString(text)
		line += len(text)
	}
	t.WriteString(" }\n\t}\n\n")
	return t.String()
}

func frozenChains(n int) string {
	var t strings.Builder
	for i := range n {
		fmt.Fprintf(&t, "\tchain policy-p%d {\n\t\tcounter name \"policy-p%[1]d\" goto mark-%s comment \"policy p%[1]d\"\n\t}\n\n",
			i, tableOf(i, false))
	}
	return t.String()
}

// frozenListRule is the rule of a policy by a list, frozenList that list's set.
const frozenListRule = "\t\tip daddr @list-many-4 counter name \"policy-listed\" goto mark-to-isp2 comment \"policy listed\"\n"

func frozenList(n int) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = plus(listed, 2*i).String()
	}
	return frozenSet("set list-many-4", "ipv4_addr", "list many", elements)
}
