package daemon

import (
	"reflect"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// What the policy says of an answer reaches the checks.
func TestExpectationsReachTheChecks(t *testing.T) {
	doc, ds := policy.Parse(fstest.MapFS{"p": {Data: []byte(`
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
check = { method = "http", targets = "http://192.0.2.80/", expect = { status = [200, 204], body = "text" } }

[[uplink]]
name = "isp2"
interface = "eth2"
gateway = "198.51.100.1"
check = { method = "dns", targets = "9.9.9.9", name = "Example.com.", expect = "address" }
`)}}, "p", "p")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	configs := Configs(doc, nil, plan.HostFacts{})
	want := []healthcheck.Expect{{Statuses: []int{200, 204}, Body: "text"}, {Name: "example.com", Address: true}}
	for i, c := range configs {
		if !reflect.DeepEqual(c.Expect, want[i]) {
			t.Errorf("%s: %+v, want %+v", c.Uplink, c.Expect, want[i])
		}
	}
}
