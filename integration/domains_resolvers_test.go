package integration

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pbr/integration/lab"
)

// oddPort is where the odd server listens, and unboundPort where unbound does.
const (
	oddPort     = 5300
	unboundPort = 5301
)

// elsewhere runs unbound, and a server that answers oddly, at the first provider.
func (n *named) elsewhere() {
	n.t.Helper()
	isp := n.ISPs["isp1"]
	isp.NFT(fmt.Sprintf(`table inet dns {
	chain pre {
		type nat hook prerouting priority dstnat - 10;
		ip daddr %s meta l4proto { tcp, udp } th dport 53 redirect to :%d
		ip daddr %s meta l4proto { tcp, udp } th dport 53 redirect to :%d
	}
}
`, unboundAt.Addr(), unboundPort, oddAt.Addr(), oddPort))
	var data strings.Builder
	for i := range 60 {
		fmt.Fprintf(&data, "  local-data: \"n%d.example.com. 60 IN A %s\"\n  local-data: "+
			"\"n%[1]d.example.com. 60 IN AAAA %[3]s\"\n", i, address(i, false), address(i, true))
	}
	conf := filepath.Join(n.dir, "unbound.conf")
	text := fmt.Sprintf("server:\n  interface: 0.0.0.0@%d\n  port: %[1]d\n  access-control: 0.0.0.0/0 allow\n"+
		"  chroot: \"\"\n  username: \"\"\n  use-syslog: no\n  pidfile: \"\"\n"+
		"  do-daemonize: no\n  local-zone: \"example.com.\" static\n  local-zone: \"served.test.\" static\n%s", unboundPort, data.String())
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	n.daemon(isp, "unbound", "-d", "-c", conf)
	n.odd(isp)
	n.waitServed(unboundAt)
}

// odd runs a server that answers over UDP with many addresses where EDNS allows it, else with one
// and the mark of truncation; and over TCP in segments of a few bytes. Names are
// many-N.example.com.
func (n *named) odd(h *lab.Host) {
	n.t.Helper()
	var udp net.PacketConn
	var tcp net.Listener
	var err error
	h.Do(func() {
		if udp, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", oddPort)); err == nil {
			tcp, err = net.Listen("tcp4", fmt.Sprintf(":%d", oddPort))
		}
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { udp.Close(); tcp.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			size, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			if answer := oddAnswer(b[:size], false); answer != nil {
				_, _ = udp.WriteTo(answer, from)
			}
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go oddStream(c)
		}
	}()
}

// oddAnswer answers many-N.example.com with sixty addresses, 198.18.100+N.1 and so on.
func oddAnswer(question []byte, whole bool) []byte {
	q, m := new(dns.Msg), new(dns.Msg)
	if q.Unpack(question) != nil || len(q.Question) != 1 {
		return nil
	}
	m.SetReply(q)
	var i int
	_, _ = fmt.Sscanf(q.Question[0].Name, "many-%d.", &i)
	count := 60
	if opt := q.IsEdns0(); !whole && opt == nil {
		m.Truncated, count = true, 1
	} else if opt != nil {
		m.SetEdns0(4096, false)
	}
	for j := range count {
		m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30},
			A: net.IPv4(198, 18, byte(100+i), byte(1+j))})
	}
	b, _ := m.Pack()
	return b
}

func oddStream(c net.Conn) {
	defer c.Close()
	for {
		var size uint16
		if binary.Read(c, binary.BigEndian, &size) != nil {
			return
		}
		question := make([]byte, size)
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		answer := oddAnswer(question, true)
		answer = append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)
		for _, part := range [][]byte{answer[:1], answer[1:40], answer[40:700], answer[700:]} {
			if _, err := c.Write(part); err != nil {
				return
			}
			time.Sleep(2 * time.Millisecond) // so that each is a segment of its own
		}
	}
}
