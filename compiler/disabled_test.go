package compiler

import (
	"reflect"
	"regexp"
	"testing"

	"pbr/compiler/plan"
)

// withDisabled has an object of each kind that is disabled, and routes and members over a disabled
// uplink; they are between DISABLED and END.
const withDisabled = `
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
# DISABLED
[[uplink]]
name = "isp2"
interface = "eth2"
gateway = "198.51.100.1"
disabled = true
[[table]]
name = "old"
strict = true
routes = { uplink = "isp1" }
disabled = true
# END
[[table]]
name = "both"
routes = [
  { uplink = "isp1" },
# DISABLED
  { uplink = "isp2", distance = 2 },
  { uplink = "isp1", dst = "10.0.0.0/8", disabled = true },
# END
]
# DISABLED
[default]
routes = { uplink = "isp1" }
disabled = true
# END
[[balance]]
name = "pool"
members = [
  { uplink = "isp1" },
# DISABLED
  { uplink = "isp2" }, { table = "old" }, { table = "both", disabled = true },
# END
]
# DISABLED
[[balance]]
name = "gone"
members = { uplink = "isp1" }
disabled = true
[[policy]]
name = "off"
from = "local"
balance = "gone"
strict = true
disabled = true
# END
[[policy]]
name = "on"
src = "192.168.10.11"
table = "both"
[[policy]]
name = "shared"
src = "192.168.10.12"
balance = "pool"
# DISABLED
[[rule]]
name = "rule"
src = "192.168.10.13"
table = "old"
disabled = true
# END
`

// What is disabled has no more effect than what is not there.
func TestDisabledIsAbsent(t *testing.T) {
	without := regexp.MustCompile(`(?s)# DISABLED.*?# END\n`).ReplaceAllString(withDisabled, "")
	for name, host := range map[string]plan.HostFacts{"any machine": {}, "a machine": withLinks("eth1", "eth2")} {
		t.Run(name, func(t *testing.T) {
			got, ds := Compile(parse(t, withDisabled), host, nil)
			want, more := Compile(parse(t, without), host, nil)
			if got == nil || want == nil {
				t.Fatal(ds, more)
			}
			if !reflect.DeepEqual(want, got) {
				t.Errorf("%s:\n%+v\nwithout what is disabled\n%+v", name, got, want)
			}
		})
	}
}
