package integration

import (
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// alonePolicy has IPv4 alone, and what depends on isp2.
const alonePolicy = ispsIPv4 + `[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[balance]]
name = "pool"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[policy]]
name = "strict"
src = "192.168.10.10"
uplink = "isp2"
strict = true
[[policy]]
name = "falls-back"
src = "192.168.10.11"
uplink = "isp2"
[[policy]]
name = "shared"
proto = "tcp"
balance = "pool"
`

// Without a watch the status says what happens to connections to an uplink whose link is down, and
// says nothing of an IP version that no uplink has.
func TestStatusAloneWithLinkDown(t *testing.T) {
	t.Parallel()
	n := bench(lab.New(t))
	r := newRouter(n.Router)
	r.apply(alonePolicy)
	// row is the line of an object in the status.
	row := func(t *testing.T, name string) string {
		t.Helper()
		out := r.pbr("status").Stdout
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
				return strings.Join(fields, " ")
			}
		}
		t.Fatalf("%s is missing in\n%s", name, out)
		return ""
	}
	same := func(t *testing.T, name, want string) {
		t.Helper()
		if got := row(t, name); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	step := steps.Of(t)
	step.Run("all up", func(t *testing.T) {
		same(t, "strict", "strict uplink isp2, strict isp2 0 -")
		same(t, "falls-back", "falls-back uplink isp2 isp2 0 -")
		same(t, "shared", "shared balance pool isp1 isp2 0 -")
	})
	step.Run("isp2's link is set down", func(t *testing.T) {
		r.Run("ip", "link", "set", "wan2", "down")
		same(t, "strict", "strict uplink isp2, strict - 0 IPv4: its uplink is link-down: new connections are unreachable")
		same(t, "falls-back", "falls-back uplink isp2 isp1 0 IPv4: its uplink is link-down: new connections use default")
		same(t, "shared", "shared balance pool isp1 0 IPv4: not usable: isp2")
	})
	step.Run("and is ordered down", func(t *testing.T) {
		r.must("apply")
		same(t, "strict", "strict uplink isp2, strict - 0 IPv4: its uplink is link-down: new connections are unreachable")
		same(t, "shared", "shared balance pool isp1 0 IPv4: not usable: isp2")
	})
}
