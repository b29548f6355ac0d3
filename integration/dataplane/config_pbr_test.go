package dataplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/keep"
)

// pbrSetUp is what differs between the rows of pbr itself.
type pbrSetUp struct {
	policies, tables int
	// reverse is "nft" where pbr judges source addresses, with the kernel's settings for that.
	reverse string
}

func (p pbrSetUp) String() string {
	name := fmt.Sprintf("pbr, %s policies, %d tables", thousands(p.policies), p.tables)
	if p.reverse != "" {
		name += ", reverse-path " + p.reverse
	}
	return name
}

// config makes a router by pbr apply, with own addresses kept as by pbr watch.
func (p pbrSetUp) config() config {
	c := config{name: p.String(), n: p.policies, series: "pbr", steers: true}
	if p.reverse != "" {
		c.series += ", reverse-path " + p.reverse
	}
	c.setUp = func(t testing.TB, r *router, all []selector) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "pbr.toml")
		if err := os.WriteFile(file, []byte(p.policy(all)), 0o644); err != nil {
			t.Fatal(err)
		}
		r.Run(program, "--config", file, "apply")
		keep.Own(r.Host)
	}
	return c
}

const policyHead = `
default = { routes = [{ uplink = "wan1" }, { uplink = "wan2", distance = 2 }] }
uplink  = [
  { name = "wan1", interface = "wan1", gateway = "192.0.2.1",    gateway6 = "2001:db8:f1::1", nat = "masquerade" },
  { name = "wan2", interface = "wan2", gateway = "198.51.100.1", gateway6 = "2001:db8:f2::1", nat = "masquerade" },
]
`

// policy is a policy file with a policy for each selector, dealt out to tables that all prefer
// wan2.
func (p pbrSetUp) policy(all []selector) string {
	var t strings.Builder
	if p.reverse == "" {
		t.WriteString("pbr = { offload = \"off\" }\n")
	} else {
		fmt.Fprintf(&t, "pbr = { offload = \"off\", sysctl = true, reverse-path = %q }\n", p.reverse)
	}
	t.WriteString(policyHead)
	for i := range p.tables {
		fmt.Fprintf(&t, "\n[[table]]\nname = \"table-%d\"\nroutes = [{ uplink = \"wan2\" }, { uplink = \"wan1\", distance = 2 }]\n", i)
	}
	for i, s := range all {
		fmt.Fprintf(&t, "\n[[policy]]\nname = \"policy-%d\"\ntable = \"table-%d\"\n", i, i%p.tables)
		if s.src[v4].IsValid() {
			fmt.Fprintf(&t, "src = [%q, %q]\n", s.src[v4], s.src[v6])
		}
		if s.dst[v4].IsValid() {
			fmt.Fprintf(&t, "dst = [%q, %q]\n", s.dst[v4], s.dst[v6])
		}
		if s.dport != 0 {
			fmt.Fprintf(&t, "proto = \"udp\"\ndport = %d\n", s.dport)
		}
	}
	return t.String()
}
