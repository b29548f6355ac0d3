package reference

import (
	"fmt"
	"slices"
	"testing"
)

// A failure that needs one policy, its table and one of its selectors is brought down to these.
func TestMinimised(t *testing.T) {
	p := office().Policy
	for i := range 20 {
		p.Policies = append(p.Policies, Class{Name: fmt.Sprintf("more-%d", i), Table: "shared",
			DPort: []NumItem{{From: uint32(i + 1), To: uint32(i + 1)}}})
	}
	tried := 0
	small := Minimised(p, func(c *Policy) bool {
		tried++
		return slices.ContainsFunc(c.Policies, func(c Class) bool { return c.Name == "net" && len(c.Src) > 0 })
	})
	t.Run("what matters is left, and nothing else", func(t *testing.T) {
		if len(small.Policies) != 1 || small.Policies[0].Name != "net" || len(small.Rules) != 0 || len(small.Tables) != 1 ||
			small.Tables[0].Name != "prefer-2" {
			t.Errorf("after %d attempts:\n%s", tried, small.TOML())
		}
	})
	t.Run("it takes few attempts", func(t *testing.T) {
		if tried > 200 {
			t.Errorf("%d attempts", tried)
		}
	})
	t.Run("the policy itself stays", func(t *testing.T) {
		if len(p.Policies) != 25 || len(p.Tables) != 3 {
			t.Error("the policy itself was changed")
		}
	})
}
