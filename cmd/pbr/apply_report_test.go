package main

import (
	"slices"
	"testing"

	"pbr/compiler/plan"
	"pbr/kernel"
)

// An apply or a flush that ends forwarding says so in a line of its own.
func TestForwardingEnded(t *testing.T) {
	for name, c := range map[string]struct {
		restored []plan.SysctlChange
		want     []string
	}{
		"off": {[]plan.SysctlChange{{Path: "net/ipv4/ip_forward", Have: "1", Want: "0"},
			{Path: "net/ipv4/conf/wan/rp_filter", Have: "2", Want: "0"}},
			[]string{"sysctls: 2 restored", "forwarding of IPv4: off, as before pbr switched it on (net.ipv4.ip_forward = 0): " +
				"a policy for others' traffic with [pbr] sysctl = true switches it on, for IP versions that an uplink carries"}},
		"as it was": {[]plan.SysctlChange{{Path: "net/ipv6/conf/all/forwarding", Have: "2", Want: "1"}}, []string{"sysctls: 1 restored"}},
		"no other":  {[]plan.SysctlChange{{Path: "net/ipv4/conf/wan/rp_filter", Have: "2", Want: "0"}}, []string{"sysctls: 1 restored"}},
		"nothing":   {},
	} {
		t.Run(name, func(t *testing.T) {
			if got := changedLines(&kernel.Report{Changes: &plan.Changes{}, Restored: c.restored}); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
