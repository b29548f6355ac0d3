package explain_test

import (
	"os"
	"strings"
	"testing"

	"pbr/compiler/explain"
)

// docs/explain.md names every option, every kind of answer and every key of an assertion.
func TestDocsNameEverything(t *testing.T) {
	text, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(text)
	t.Run("options", func(t *testing.T) {
		for _, key := range explain.Keys {
			if !strings.Contains(docs, "`--"+key+" ") && !strings.Contains(docs, "`--"+key+"`") {
				t.Errorf("option --%s is missing", key)
			}
		}
	})
	t.Run("kinds of answers", func(t *testing.T) {
		for _, kind := range []explain.Kind{explain.ByPolicy, explain.ByRule, explain.ByDefault, explain.ByMain,
			explain.BySource, explain.ByConnection, explain.ByInbound,
			explain.ByLocal, explain.ByNever} {
			if !strings.Contains(docs, "| `"+string(kind)+"` |") {
				t.Errorf("kind %s is missing", kind)
			}
		}
	})
	t.Run("keys of assertions", func(t *testing.T) {
		for _, key := range explain.ExpectKeys()[len(explain.Keys):] {
			if !strings.Contains(docs, "`"+key+"`") {
				t.Errorf("key %s of an assertion is missing", key)
			}
		}
	})
}
