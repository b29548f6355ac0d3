// Package sources brings in what lists are made of beside the policy file: it fetches the texts of
// URLs and keeps them in the state directory, and tells of list files that changed. What happens to
// that is for others.
package sources

import (
	"fmt"
	"os"
	"strings"
	"time"

	"pbr/compiler/policy"
	"pbr/kernel/state"
)

// dirName is where the fetched texts are, in the state directory.
const dirName = "lists"

// Note is what is known of a URL: its text is in a file of its own.
type Note struct {
	URL string `json:"url"`
	// ETag and LastModified are what the server said of the text that is kept.
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Fetched is when the text came, Checked when the server last said that it still is the one.
	Fetched time.Time `json:"fetched,omitzero"`
	Checked time.Time `json:"checked,omitzero"`
	// Asked is when the server was asked last, whatever came of it.
	Asked time.Time `json:"asked,omitzero"`
	// Entries is how many the text has.
	Entries int `json:"entries"`
	// Failed is since when fetching fails, and Error why it did last; Failures is how often in a
	// row.
	Failed   time.Time `json:"failed,omitzero"`
	Error    string    `json:"error,omitempty"`
	Failures int       `json:"failures,omitempty"`
	// Withheld is how many entries an answer had that was kept back because it shrinks the list by
	// more than half.
	Withheld int `json:"withheld,omitempty"`
}

// Cache keeps what was fetched.
type Cache struct{ dir state.Dir }

// Open returns the cache in a state directory.
func Open(dir state.Dir) Cache { return Cache{dir.Sub(dirName)} }

// Path is the cache's directory, as policy.Options has it.
func (c Cache) Path() string { return c.dir.Path() }

// Note returns what is known of a URL.
func (c Cache) Note(url string) Note {
	var n Note
	if err := c.dir.Load(noteName(url), &n); err != nil || n.URL != url {
		return Note{URL: url} // what is damaged is fetched again
	}
	return n
}

// text returns the text that is kept of a URL, nil if there is none.
func (c Cache) text(url string) []byte {
	b, err := os.ReadFile(c.dir.Path(policy.FetchedName(url)))
	if err != nil {
		return nil
	}
	return b
}

// Ready reports why nothing can be kept; nil if it can.
func (c Cache) Ready() error {
	unlock, err := c.dir.Lock()
	if err != nil {
		return fmt.Errorf("keeping what is fetched: %w", err)
	}
	unlock()
	return nil
}

// save keeps a note, and a text with it if that is not nil.
func (c Cache) save(n Note, text []byte) error {
	unlock, err := c.dir.Lock()
	if err != nil {
		return fmt.Errorf("keeping what was fetched: %w", err)
	}
	defer unlock()
	if text != nil {
		if err := state.Replace(c.dir.Path(policy.FetchedName(n.URL)), text); err != nil {
			return fmt.Errorf("keeping what was fetched: %w", err)
		}
	}
	return c.dir.Save(noteName(n.URL), n)
}

// Remove removes all that is kept.
func (c Cache) Remove() error {
	if err := c.dir.RemoveAll(); err != nil {
		return fmt.Errorf("removing what was fetched: %w", err)
	}
	return nil
}

func noteName(url string) string {
	return strings.TrimSuffix(policy.FetchedName(url), ".txt") + ".json"
}
