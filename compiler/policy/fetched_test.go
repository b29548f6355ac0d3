package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseFetched(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1\n198.51.100.0/24\r\n\n2001:db8::/32\n":            "192.0.2.1 198.51.100.0/24 2001:db8::/32",
		"\uFEFF# head\n; another\n192.0.2.1 # one\n192.0.2.2;SBL1\n": "192.0.2.1 192.0.2.2",
		"address,country\n192.0.2.1,DE\n\"192.0.2.2\",\"x\"\n":       "192.0.2.1 192.0.2.2",
		"192.0.2.7/24\n192.0.2.9\tmore words\n10.0.0.1 - 10.0.0.9\n": "192.0.2.0/24 192.0.2.9 10.0.0.1-10.0.0.9",
		`["192.0.2.1", " 2001:db8::1 ",` + "\n" + `"10.0.0.0/8"]`:    "192.0.2.1 2001:db8::1 10.0.0.0/8",
		"":                             "! empty",
		" \n\t\n":                      "! empty",
		"<!DOCTYPE html>\n192.0.2.1\n": "! HTML",
		"# nothing\n":                  "! no address",
		"[]":                           "! no address",
		`{"prefixes": ["10.0.0.0/8"]}`: "! JSON object",
		`[1, 2]`:                       "! no array of strings",
		"not\na\nlist\n192.0.2.1\n":    "! not a list",
		strings.Repeat("192.0.2.1\n", MaxFetched+1): "! more than 1048576 entries",
	} {
		t.Run(fmt.Sprintf("%.40q", text), func(t *testing.T) {
			ranges, _, err := ParseFetched([]byte(text))
			var got []string
			for _, r := range ranges {
				got = append(got, r.String())
			}
			wrong, isWrong := strings.CutPrefix(want, "! ")
			if isWrong && (err == nil || !strings.Contains(err.Error(), wrong)) ||
				!isWrong && (err != nil || strings.Join(got, " ") != want) {
				t.Errorf("%.60q: %q, %v; want %s", text, got, err, want)
			}
		})
	}
}

// TestSkippedEntries tells what of a text is not an address, and where it is.
func TestSkippedEntries(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []Skipped
	}{
		"lines are counted from the text's beginning": {"\n\n192.0.2.1\naddress,country\n192.0.2.2\n",
			[]Skipped{{Line: 4, Text: "address", Why: `invalid address "address"`}}},
		"the end of a line may be that of DOS": {"192.0.2.1\r\n192.0.2.256\r\n",
			[]Skipped{{Line: 2, Text: "192.0.2.256", Why: `invalid address "192.0.2.256"`}}},
		"nothing before a comma":                  {"192.0.2.1\n  ,DE\n", []Skipped{{Line: 2, Text: ",DE", Why: "nothing before the comma"}}},
		"comments and blank lines are no entries": {"192.0.2.1 # a\n; b\n \n\"\"\n", nil},
		"a JSON array has entries": {`["192.0.2.1", "10.0.0.9-10.0.0.1"]`,
			[]Skipped{{Entry: 2, Text: "10.0.0.9-10.0.0.1", Why: `the range "10.0.0.9-10.0.0.1" ends before it starts`}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []Skipped
			_, n, err := readFetched([]byte(c.text), func(s Skipped) { got = append(got, s) })
			if err != nil || n != len(c.want) || !slices.Equal(got, c.want) {
				t.Errorf("%d skipped, %+v, %v; want %+v", n, got, err, c.want)
			}
		})
	}
}

// TestFetchedTexts reads lists from the texts that were fetched, as far as they are there and what
// the source wants.
func TestFetchedTexts(t *testing.T) {
	const url, other = "https://example.com/a.txt", "https://example.com/b.txt"
	text := "192.0.2.1\n192.0.2.3\n"
	sum := sha256.Sum256([]byte(text))
	for name, c := range map[string]struct {
		source  string
		fetched bool
		entries int
	}{
		"plain":          {`{ url = "` + url + `" }`, true, 2},
		"checksum":       {`{ url = "` + url + `", sha256 = "` + strings.ToUpper(hex.EncodeToString(sum[:])) + `" }`, true, 2},
		"wrong checksum": {`{ url = "` + url + `", sha256 = "` + strings.Repeat("0", 64) + `" }`, false, 0},
		"not fetched":    {`{ url = "` + other + `" }`, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{
				"p.toml":                            {Data: []byte("[lists]\na = [\"10.0.0.1\", " + c.source + "]\nb = [\"@a\"]\n")},
				"var/lists/" + FetchedName(url):     {Data: []byte(text)},
				"var/lists/" + FetchedName("other"): {Data: []byte("<html>")},
			}
			doc, ds := ParseWith(files, "p.toml", "p.toml", Options{Fetched: "/var/lists"})
			if ds.HasErrors() {
				t.Fatal(ds)
			}
			a, b := &doc.Lists[0], &doc.Lists[1]
			if s := a.Sources[1]; s.URL.Fetched != c.fetched || s.Entries != c.entries ||
				len(a.Ranges) != 1+c.entries || len(b.Ranges) != len(a.Ranges) || !b.Variable() {
				t.Errorf("%s: %+v, %v", name, s, a.Ranges)
			}
		})
	}
}
