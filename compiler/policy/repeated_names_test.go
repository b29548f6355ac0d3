package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestRepeatedNames: of policies with the same name the first has it, whichever name repeats first.
func TestRepeatedNames(t *testing.T) {
	t.Parallel()
	for _, names := range []string{"a b c", "a a a", "a b a b c c a", "a b c b a c d d b"} {
		t.Run(names, func(t *testing.T) {
			t.Parallel()
			text, line := base, 1+strings.Count(base, "\n")
			first, want := map[string]int{}, []string(nil)
			for _, name := range strings.Fields(names) {
				text += fmt.Sprintf("[[policy]]\nname = %q\nuplink = \"isp1\"\n", name)
				if at, taken := first[name]; taken {
					want = append(want, fmt.Sprintf("%d: policy %q: the name %[2]q is taken by the policy at line %d", line+1, name, at))
				} else {
					first[name] = line
				}
				line += 3
			}
			_, ds := ParseWith(fstest.MapFS{"p.toml": {Data: []byte(text)}}, "p.toml", "p.toml", Options{ErrorsOnly: true})
			var got []string
			for _, d := range ds {
				got = append(got, fmt.Sprintf("%d: %s", d.Pos.Line, d.Message))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
