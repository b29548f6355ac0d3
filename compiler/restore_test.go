package compiler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// uplinksBy returns so many uplinks, of which the default uses the first, and a policy to another.
func uplinksBy(n int) string {
	var uplinks []string
	for i := range n {
		uplinks = append(uplinks, fmt.Sprintf(
			`{ name = "isp%d", interface = "wan%d", gateway = "192.0.2.%d", gateway6 = "2001:db8::%d", nat = "masquerade" }`,
			i+1, i+1, i+1, i+1))
	}
	return "uplink = [" + strings.Join(uplinks, ", ") + "]\ndefault = { routes = { uplink = \"isp1\" } }\n"
}

// A few pinned marks are compared, that of default's first uplink last; more are looked up.
func TestFewPinnedMarksAreCompared(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, fewPinned, fewPinned + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			p := compiledText(t, uplinksBy(n))
			names := map[uint32]string{}
			for _, number := range p.Numbers {
				names[number.Mark] = number.Name
			}
			var compared []string
			looksUp := 0
			for _, r := range chainOf(p, "prerouting").Rules {
				switch a := r.Actions[0].(type) {
				case plan.SetMark:
					compared = append(compared, names[a.Value])
				case plan.VMap:
					looksUp++
				}
			}
			var want []string
			for i := 2; i <= n; i++ {
				want = append(want, fmt.Sprintf("isp%d", i))
			}
			want = append(want, "isp1")
			if n > fewPinned {
				if compared != nil || looksUp != 1 {
					t.Errorf("compared are %q, looked up is %d times", compared, looksUp)
				}
				return
			}
			if !slices.Equal(compared, want) || looksUp != 0 {
				t.Errorf("compared are %q, want %q; looked up is %d times", compared, want, looksUp)
			}
		})
	}
}
