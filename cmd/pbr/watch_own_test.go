package main

import (
	"strings"
	"testing"

	"pbr/compiler/policy"
)

// pbr check names the list for which the sets of own addresses are left alone, and says nothing of
// others.
func TestOwnNoteNamesLongLists(t *testing.T) {
	t.Parallel()
	doc := &policy.Document{Lists: []policy.List{{Name: "short", Ranges: make([]policy.Range, longList-1)}}}
	t.Run("a short list is not named", func(t *testing.T) {
		if note := ownNote(doc); note != "" {
			t.Errorf("a list of %d entries: %q", longList-1, note)
		}
	})
	t.Run("a long list is named", func(t *testing.T) {
		doc.Lists = append(doc.Lists, policy.List{Name: "long", Ranges: make([]policy.Range, longList)})
		if note := ownNote(doc); !strings.Contains(note, "list long ") {
			t.Errorf("a list of %d entries: %q", longList, note)
		}
	})
}
