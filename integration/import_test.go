package integration

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// importsDir has one directory per imported configuration.
const importsDir = "../fixtures/import/"

// importNet has all networks that the fixtures name: providers at wan1 to wan3, and those of the
// persistent sessions; LANs of the guide.
func importNet() lab.Spec {
	line := func(name, iface, net string) lab.ISPSpec {
		return lab.ISPSpec{Name: name, Iface: iface, Router4: netip.MustParsePrefix(net + ".2/24"),
			Gateway4: netip.MustParseAddr(net + ".1")}
	}
	return lab.Spec{
		LANs: []lab.LANSpec{
			lab.LAN("lan", "br-lan", 10, 4, 9, 10, 11, 20, 22, 33, 50, 63, 70, 77, 130, 131),
			lab.LAN("lan20", "br-lan20", 20, 7, 100),
			lab.LAN("users", "Local", 0, 11, 12, 13, 14),
		},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), lab.ISP(3), line("odd", "wlan2", "10.111.0"), line("even", "wlan1", "10.112.0")},
	}
}

// importMaps give the exports' interfaces the names of the network.
var importMaps = []string{"bridge=br-lan", "ether1=wan1", "ether2=wan2", "ether3=br-lan", "ether4=br-lan20",
	"your-wan=wan1", "wan-A=wan2", "wan-B=wan3"}

// imports puts what an import makes of a fixture into force.
func (s *scenario) imports(kind, name string) {
	s.t.Helper()
	what, err := filepath.Abs(importsDir + kind + "/" + name)
	if err != nil {
		s.t.Fatal(err)
	}
	if kind == "routeros" {
		what += "/export.rsc"
	}
	args := []string{"import", kind, what}
	for _, m := range importMaps {
		args = append(args, "--map", m)
	}
	s.router.write(s.router.must(args...))
	s.router.must("check")
	s.router.must("apply")
	s.router.inSync()
	s.readMarks()
}

// from is a connection from a host to a port of the internet, and the provider that it has to
// arrive at: "" for nowhere.
func (s *scenario) from(src, network string, port int, isp string, translated bool) {
	s.t.Helper()
	f := flow{name: fmt.Sprintf("%s %s/%d", src, network, port), from: "router", network: network,
		dst: fmt.Sprintf("9.9.9.9:%d", port), isp: isp}
	lans := map[string]string{"192.168.10.": "lan", "192.168.20.": "lan20", "192.168.0.": "users"}
	for prefix, lan := range lans {
		if strings.HasPrefix(src, prefix) {
			f.from, f.src = lan, src
		}
	}
	s.arrives(f, translated)
}

// arrives compares where a connection arrives, and from which address.
func (s *scenario) arrives(f flow, translated bool) {
	s.t.Helper()
	var by lab.ISPSpec
	for _, isp := range s.Spec.ISPs {
		if isp.Name == f.isp {
			by = isp
		}
	}
	if f.nat = f.src; translated || f.from == "router" {
		f.nat = by.Router4.Addr().String()
	}
	s.checkWay(f)
}

// checkWay is checkFlow without the connection's mark.
func (s *scenario) checkWay(f flow) {
	s.t.Helper()
	seen, err := s.dialOnce(f)
	switch {
	case f.isp == "" && err == nil:
		s.t.Errorf("%s: got through by %s, but has to get nowhere", f.name, seen.By)
	case f.isp != "" && err != nil:
		s.t.Errorf("%s: %v; has to arrive at %s", f.name, err, f.isp)
	case f.isp != "" && (seen.By != f.isp || seen.Src.Addr().String() != f.nat):
		s.t.Errorf("%s: arrived at %s from %s; has to arrive at %s from %s", f.name, seen.By, seen.Src.Addr(), f.isp, f.nat)
	}
}

// dialOnce opens a connection and asks once.
func (s *scenario) dialOnce(f flow) (seen lab.Seen, err error) {
	s.t.Helper()
	h, src := s.Router, netip.Addr{}
	if f.from != "router" {
		h, src = s.LANs[f.from], netip.MustParseAddr(f.src)
	}
	c, err := h.Dial(f.network, src, netip.MustParseAddrPort(f.dst), f.opt)
	if err != nil {
		return seen, err
	}
	defer c.Close()
	return c.Ask()
}

// spread counts where connections of a host to many addresses arrive.
func (s *scenario) spread(src string, n int) map[string]int {
	s.t.Helper()
	counts := map[string]int{}
	for i := range n {
		seen, err := s.dialOnce(flow{from: "lan", network: "udp", src: src, dst: fmt.Sprintf("9.9.%d.9:53", i)})
		if err != nil {
			s.t.Fatal(err)
		}
		counts[seen.By]++
	}
	return counts
}

// Exports and configurations of others, imported and applied: real packets go where they went
// there.
func TestImportedPackets(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), importNet())
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	s := &scenario{Net: n, t: t, router: newRouter(n.Router)}

	t.Run("routeros, a guide's rules", func(t *testing.T) {
		s.imports("routeros", "guide-1-rules")
		s.from("192.168.10.10", "tcp", 443, "isp1", false)
		s.from("192.168.20.7", "tcp", 443, "isp2", false)
		s.from("192.168.20.100", "tcp", 443, "isp1", false)
	})

	t.Run("routeros, a guide's mangle", func(t *testing.T) {
		s.imports("routeros", "guide-2-mangle")
		s.from("192.168.10.50", "tcp", 443, "isp2", true)
		s.from("192.168.20.7", "udp", 53, "isp2", true)
		s.from("192.168.10.10", "tcp", 443, "isp1", true)
	})

	t.Run("routeros, a guide's router", func(t *testing.T) {
		s.imports("routeros", "guide-3-router")
		s.from("router", "udp", 53, "isp2", true)
		s.from("router", "tcp", 53, "isp1", true)
		s.from("192.168.10.10", "tcp", 443, "isp2", true)
	})

	t.Run("routeros, recursive gateways", func(t *testing.T) {
		s.imports("routeros", "guide-5-recursive")
		s.from("192.168.10.10", "tcp", 443, "isp1", true)
		s.arrives(flow{name: "the second target", from: "lan", src: "192.168.10.10", network: "udp", dst: "8.8.8.8:53", isp: "isp2"}, true)
	})

	t.Run("routeros, equal distances", func(t *testing.T) {
		s.imports("routeros", "guide-6-ecmp")
		s.from("192.168.10.10", "tcp", 443, "isp1", true)
		s.from("192.168.20.7", "tcp", 443, "isp2", true)
	})

	t.Run("routeros, per connection classifier", func(t *testing.T) {
		s.imports("routeros", "guide-7-pcc")
		if c := s.spread("192.168.10.10", 40); c["isp1"] < 5 || c["isp2"] < 5 {
			t.Errorf("per-connection-classifier: %v", c)
		}
	})

	t.Run("routeros, by ports", func(t *testing.T) {
		s.imports("routeros", "guide-8-ports")
		s.from("192.168.10.10", "tcp", 443, "isp2", true)
		s.from("192.168.10.10", "tcp", 22, "isp1", true)
		s.from("192.168.10.10", "udp", 443, "isp1", true)
	})

	t.Run("routeros, handlings", func(t *testing.T) {
		s.imports("routeros", "handlings")
		s.from("192.168.10.11", "udp", 5060, "isp2", true)
		s.from("192.168.10.33", "udp", 20000, "isp2", true)
		s.from("192.168.10.33", "tcp", 443, "isp3", true)
		s.from("192.168.10.63", "udp", 5060, "isp3", true)
		s.from("192.168.10.10", "udp", 5060, "isp1", true)
	})

	t.Run("routeros, marks of its own packets and no NAT: it forwards", func(t *testing.T) {
		s.router.must("flush")
		s.Router.Run("sysctl", "-qw", "net.ipv4.ip_forward=0")
		s.imports("routeros", "own-packets")
		s.from("router", "tcp", 25, "isp2", true)
		s.from("192.168.10.10", "tcp", 443, "isp1", false)
		s.router.must("flush")
		s.Router.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	})

	t.Run("routeros, persistent sessions", func(t *testing.T) {
		s.imports("routeros", "persistent-sessions")
		for _, port := range []int{443, 80, 53} {
			for i, isp := range []string{"odd", "even", "odd", "even"} {
				s.from(fmt.Sprintf("192.168.0.%d", 11+i), "tcp", port, isp, true)
			}
		}
		s.from("router", "udp", 53, "even", true)
	})

	t.Run("routeros, the last match wins", func(t *testing.T) {
		s.imports("routeros", "last-match-wins")
		s.from("192.168.10.9", "tcp", 443, "isp1", true)
		s.from("192.168.10.10", "tcp", 443, "isp2", true)
		s.from("192.168.10.10", "tcp", 22, "isp1", true)
	})

	t.Run("routeros, a kill switch", func(t *testing.T) {
		s.imports("routeros", "kill-switch")
		s.from("192.168.10.20", "tcp", 443, "", true)
		s.from("192.168.10.22", "tcp", 443, "isp1", true)
	})

	t.Run("routeros, jumps", func(t *testing.T) {
		s.imports("routeros", "jumps")
		s.from("192.168.10.70", "tcp", 22, "isp2", false)
		s.from("192.168.10.10", "tcp", 443, "isp2", false)
		s.from("192.168.10.10", "tcp", 22, "isp1", false)
		s.from("192.168.10.10", "udp", 5060, "isp2", false)
		s.from("192.168.10.77", "udp", 53, "isp1", false)
	})

	t.Run("routeros, nth", func(t *testing.T) {
		s.imports("routeros", "nth-cascade")
		if c := s.spread("192.168.10.10", 9); c["isp1"] != 3 || c["isp2"] != 3 || c["isp3"] != 3 {
			t.Errorf("nth: %v", c)
		}
	})

	t.Run("routeros, routing rules", func(t *testing.T) {
		s.imports("routeros", "routing-rules")
		s.from("192.168.10.4", "tcp", 443, "isp1", false)
		s.from("192.168.10.130", "tcp", 443, "isp2", false)
		s.from("192.168.10.131", "tcp", 443, "isp1", false)
		s.from("192.168.10.10", "tcp", 443, "isp1", false)
		s.arrives(flow{name: "dropped", from: "lan", src: "192.168.10.10", network: "udp", dst: "203.0.113.77:53"}, false)
	})

	t.Run("mwan3, balanced", func(t *testing.T) {
		s.imports("mwan3", "enabled")
		if c := s.spread("192.168.10.10", 40); c["isp1"] < 5 || c["isp2"] < 5 {
			t.Errorf("mwan3, balanced: %v", c)
		}
	})
}
