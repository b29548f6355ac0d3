package integration

import (
	"net"
	"testing"
	"time"

	"pbr/integration/lab"
)

// tftpHelper expects the answer to a request at port 69, which comes from a port of its own.
const tftpHelper = `table inet helpers {
	ct helper tftp { type "tftp" protocol udp; }
	chain pre { type filter hook prerouting priority -160; udp dport 69 ct helper set "tftp"; }
}
`

// A connection that a helper expects is opened from outside and inherits the connection mark of one
// opened from inside. Its answers leave through the uplink that it arrived on.
func TestAnswersToExpectedConnectionsUseTheirUplink(t *testing.T) {
	t.Parallel()
	n := newEditNet(t)
	r, lan := newRouter(n.Router), n.LANs["lan"]
	for _, isp := range n.ISPs {
		isp.NFT(strayTable)
	}
	r.NFT(tftpHelper)
	n.ISPs["isp2"].Run("nft", "delete", "table", "inet", "internet") // the server's answers are its own
	n.ISPs["isp2"].IP("addr add 9.9.9.12/32 dev lo")
	for _, first := range []string{"specific", "connected", "off"} {
		t.Run("main-first "+first, func(t *testing.T) {
			policy := numbering{0xff000000, 10000, first, "isp2", "secret", "second", "masquerade", nil}
			r.Run("conntrack", "-F")
			r.must("flush")
			r.apply(policy.text())
			strays := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"])
			if acknowledged := transfer(t, lan, n.ISPs["isp2"]); !acknowledged {
				t.Error("the server gets no answer to its first block")
			}
			if more := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"]) - strays; more > 0 {
				t.Errorf("%d packets of a strict policy left by another uplink", more)
			}
		})
	}
}

// transfer asks a server at a provider for a file as the strict policy's host, and reports whether
// the server gets the acknowledgement of its first block.
func transfer(t *testing.T, lan, isp *lab.Host) bool {
	t.Helper()
	far := net.IPv4(9, 9, 9, 12)
	open := func(h *lab.Host, a *net.UDPAddr) (c *net.UDPConn) {
		var err error
		if h.Do(func() { c, err = net.ListenUDP("udp4", a) }); err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(lab.Patience(3 * time.Second)))
		return c
	}
	asked := open(isp, &net.UDPAddr{IP: far, Port: 69})
	defer asked.Close()
	server := open(isp, &net.UDPAddr{IP: far})
	defer server.Close()
	client := open(lan, &net.UDPAddr{IP: net.IPv4(192, 168, 10, 12)})
	defer client.Close()
	b := make([]byte, 600)
	if _, err := client.WriteToUDP([]byte("\x00\x01file\x00octet\x00"), &net.UDPAddr{IP: far, Port: 69}); err != nil {
		t.Fatal(err)
	}
	_, from, err := asked.ReadFromUDP(b)
	if err != nil {
		t.Fatalf("the request does not arrive: %v", err)
	}
	if _, err := server.WriteToUDP([]byte("\x00\x03\x00\x01data"), from); err != nil {
		t.Fatal(err)
	}
	_, back, err := client.ReadFromUDP(b)
	if err != nil {
		t.Errorf("the block does not arrive: %v", err)
		return false
	}
	if _, err := client.WriteToUDP([]byte("\x00\x04\x00\x01"), back); err != nil {
		t.Fatal(err)
	}
	_, _, err = server.ReadFromUDP(b)
	return err == nil
}
