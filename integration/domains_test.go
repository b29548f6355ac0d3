package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// The first connection to each of 500 names that nobody asked for before already goes right.
func TestDomainsFirstConnection(t *testing.T) {
	t.Parallel()
	n := newNamed(t, domainPolicy)
	n.dnsmasq(n.Router, []string{n.hosts(500, "example.com"), n.hosts(10, "example.org")})
	if by := n.firstConnections("udp", n.resolver, 0, 500, "example.com", dns.TypeA, nil); !cmp.Equal(by, map[string]int{"isp2": 500}) {
		t.Errorf("first connections: %v", by)
	}
	if by := n.firstConnections("udp", n.resolver, 0, 20, "example.com", dns.TypeAAAA, nil); !cmp.Equal(by, map[string]int{"isp2": 20}) {
		t.Errorf("first connections, IPv6: %v", by)
	}
}
