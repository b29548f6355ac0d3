package plan

import "testing"

func TestSettingOf(t *testing.T) {
	for path, want := range map[string]Setting{
		"net/ipv4/ip_forward":                {IPv4, "", "ip_forward"},
		"net/ipv4/conf/eth1/rp_filter":       {IPv4, "eth1", "rp_filter"},
		"net/ipv4/conf/eth1.7/rp_filter":     {IPv4, "eth1.7", "rp_filter"},
		"net/ipv6/conf/all/forwarding":       {IPv6, "all", "forwarding"},
		"net/ipv6/fib_multipath_hash_policy": {IPv6, "", "fib_multipath_hash_policy"},
	} {
		t.Run(path, func(t *testing.T) {
			if got := SettingOf(path); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}
