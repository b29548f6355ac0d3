package policy

import (
	"os"
	"testing"
)

const fixtures = "../../fixtures/policy"

func TestFullExample(t *testing.T) {
	doc, ds := Parse(os.DirFS(fixtures), "full.toml", "full.toml")
	for _, d := range ds {
		if d.Severity == Error {
			t.Error(d)
		}
	}
	if len(doc.Policies) != 6 {
		t.Errorf("%d policies", len(doc.Policies))
	}
}
