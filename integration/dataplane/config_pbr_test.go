package dataplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func pbrName(policies, tables int) string {
	return fmt.Sprintf("pbr, %s policies, %d tables", thousands(policies), tables)
}

// pbrConfig is pbr itself, with so many policies and tables.
func pbrConfig(policies, tables int) config {
	return config{
		name: pbrName(policies, tables), series: "pbr", n: policies, steers: true,
		setUp: func(t testing.TB, r *router, all []selector) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "pbr.toml")
			if err := os.WriteFile(file, []byte(policyText(all, tables)), 0o644); err != nil {
				t.Fatal(err)
			}
			r.Run(program, "--config", file, "apply")
		},
	}
}

const policyHead = `
pbr     = { offload = "off" }
default = { routes = [{ uplink = "wan1" }, { uplink = "wan2", distance = 2 }] }
uplink  = [
  { name = "wan1", interface = "wan1", gateway = "192.0.2.1",    gateway6 = "2001:db8:f1::1", nat = "masquerade" },
  { name = "wan2", interface = "wan2", gateway = "198.51.100.1", gateway6 = "2001:db8:f2::1", nat = "masquerade" },
]
`

// policyText is a policy file with a policy for each selector, dealt out to tables that all prefer wan2.
func policyText(all []selector, tables int) string {
	var t strings.Builder
	t.WriteString(policyHead)
	for i := range tables {
		fmt.Fprintf(&t, "\n[[table]]\nname = \"table-%d\"\nroutes = [{ uplink = \"wan2\" }, { uplink = \"wan1\", distance = 2 }]\n", i)
	}
	for i, s := range all {
		fmt.Fprintf(&t, "\n[[policy]]\nname = \"policy-%d\"\ntable = \"table-%d\"\n", i, i%tables)
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
