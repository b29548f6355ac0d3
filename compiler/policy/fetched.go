package policy

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"pbr/compiler/checksum"
)

// MaxFetched is how many entries a text that was fetched may have.
const MaxFetched = 1 << 20

// FetchedName is the name of the file that has the text of a URL in Options.Fetched.
func FetchedName(url string) string {
	sum := checksum.Of([]byte(url))
	return hex.EncodeToString(sum[:16]) + ".txt"
}

// ParseFetched reads the entries of a text from elsewhere: lines of one entry, of which "#" and ";"
// start a comment and what follows a comma is left out, or a JSON array of strings. Bits behind a
// prefix's length do not matter. What is not an address is skipped, and counted. The error is for a
// text that is not a list: empty, HTML, mostly something else, or too long.
func ParseFetched(text []byte) (ranges []Range, skipped int, err error) {
	return readFetched(text, func(Skipped) {})
}

// Skipped is an entry of a text that was fetched that is not an address.
type Skipped struct {
	// Line is where it is, counted from 1; in a JSON array, Entry is the how-manieth it is.
	Line, Entry int
	// Text is the entry, and Why what is wrong with it.
	Text, Why string
}

// readFetched is ParseFetched, and tells skip of each entry that is skipped.
func readFetched(text []byte, skip func(Skipped)) (ranges []Range, skipped int, err error) {
	whole := strings.TrimPrefix(string(text), "\uFEFF")
	trimmed := strings.TrimSpace(whole)
	switch {
	case trimmed == "":
		return nil, 0, errors.New("the answer is empty")
	case trimmed[0] == '<':
		return nil, 0, errors.New("the answer is HTML or XML, and no list")
	case trimmed[0] == '[' && !strings.HasPrefix(trimmed, "[::") && json.Valid([]byte(trimmed)):
		ranges, skipped, err = fetchedJSON(trimmed, skip)
	case trimmed[0] == '{':
		return nil, 0, errors.New("the answer is a JSON object: only an array of strings can be read")
	default:
		ranges, skipped, err = fetchedLines(whole, skip)
	}
	switch {
	case err != nil:
		return nil, skipped, err
	case len(ranges) == 0:
		return nil, skipped, errors.New("the answer has no address")
	case skipped > len(ranges):
		return nil, skipped, fmt.Errorf("the answer is not a list: %d entries of %d are not addresses", skipped, skipped+len(ranges))
	}
	return ranges, skipped, nil
}

var errTooMany = fmt.Errorf("the answer has more than %d entries", MaxFetched)

func fetchedJSON(text string, skip func(Skipped)) (ranges []Range, skipped int, err error) {
	var entries []string
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		return nil, 0, errors.New("the answer is JSON, but no array of strings")
	}
	if len(entries) > MaxFetched {
		return nil, 0, errTooMany
	}
	ranges = make([]Range, 0, len(entries))
	for i, e := range entries {
		e = strings.TrimSpace(e)
		r, f := fetchedEntry(e)
		if f != nil {
			skipped++
			skip(Skipped{Entry: i + 1, Text: e, Why: f.message})
			continue
		}
		ranges = append(ranges, r)
	}
	return ranges, skipped, nil
}

func fetchedLines(text string, skip func(Skipped)) (ranges []Range, skipped int, err error) {
	ranges = make([]Range, 0, min(strings.Count(text, "\n")+1, MaxFetched))
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		word := strings.Trim(strings.TrimSpace(fetchedColumn(line)), `"'`)
		if word == "" {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, ",") {
				skipped++
				skip(Skipped{Line: number, Text: line, Why: "nothing before the comma"})
			}
			continue
		}
		r, f := fetchedEntry(word)
		switch {
		case f != nil:
			skipped++
			skip(Skipped{Line: number, Text: word, Why: f.message})
		case len(ranges) == MaxFetched:
			return nil, skipped, errTooMany
		default:
			ranges = append(ranges, r)
		}
	}
	return ranges, skipped, nil
}

// fetchedColumn returns what of a line is before a comment, or a comma.
func fetchedColumn(line string) string {
	if i := strings.IndexAny(line, "#;,"); i >= 0 {
		return line[:i]
	}
	return line
}

// fetchedEntry reads an address, a prefix or a range; other words behind it are left out.
func fetchedEntry(text string) (Range, *fault) {
	r, f := parseRange(text)
	if f == nil {
		return r, nil
	}
	word, _, _ := strings.Cut(text, " ")
	word, _, _ = strings.Cut(word, "\t")
	if p, err := netip.ParsePrefix(word); err == nil && !p.Addr().Is4In6() {
		return PrefixRange(p.Masked()), nil
	}
	if word == text || strings.Contains(text, " - ") {
		return Range{}, f
	}
	if r, first := parseRange(word); first == nil {
		return r, nil
	}
	return Range{}, f
}

// listURL takes in what was fetched last for a source, if it still is what the source wants.
func (p *parser) listURL(l *List, src *Source) {
	u := &src.URL
	if p.opts.Fetched == "" || u.URL == "" {
		return
	}
	read, err := readRegular(p.fsys, path.Join(strings.TrimPrefix(p.opts.Fetched, "/"), FetchedName(u.URL)))
	text := []byte(read)
	if err != nil || !u.Accepts(text) {
		return
	}
	skip := func(Skipped) {}
	if p.opts.Sources {
		skip = func(s Skipped) { src.Skipped = append(src.Skipped, s) }
	}
	ranges, _, err := readFetched(text, skip)
	if err != nil {
		return
	}
	l.Ranges, u.Fetched = append(l.Ranges, ranges...), true
}

// Accepts reports whether a text has the checksum that the source asks for.
func (u *URLSource) Accepts(text []byte) bool {
	sum := checksum.Of(text)
	return u.SHA256 == "" || u.SHA256 == hex.EncodeToString(sum[:])
}
