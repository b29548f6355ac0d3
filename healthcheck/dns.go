package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// dnsPort is where DNS servers listen (RFC 1035, 4.2.1).
const dnsPort = 53

// dns asks a resolver what the check expects it to know.
func (p *SocketProber) dns(ctx context.Context, c Config, target string) (time.Duration, error) {
	dst, err := netip.ParseAddrPort(target)
	if err != nil {
		addr, err := parseAddr(target)
		if err != nil {
			return 0, err
		}
		dst = netip.AddrPortFrom(addr, dnsPort)
	}
	// The socket is connected: the kernel drops what others send to it.
	conn, err := p.dial(ctx, c, "udp", withoutZone(dst).String())
	if err != nil {
		return 0, fmt.Errorf("connecting: %w", cause(err))
	}
	defer conn.Close()
	defer until(ctx, conn)()
	sent := time.Now()
	for _, question := range c.Expect.questions() {
		var answer *dns.Msg
		if answer, err = ask(conn, question); err != nil {
			return 0, err
		}
		if err = c.Expect.resolved(answer); err == nil {
			return time.Since(sent), nil
		}
	}
	return 0, err
}

// ask sends a question and waits for its answer.
func ask(conn net.Conn, question *dns.Msg) (*dns.Msg, error) {
	d := &dns.Conn{Conn: conn}
	if err := d.WriteMsg(question); err != nil {
		return nil, fmt.Errorf("asking: %w", cause(err))
	}
	answer, err := readAnswer(d, question)
	if err != nil {
		return nil, fmt.Errorf("waiting for the answer: %w", cause(err))
	}
	return answer, nil
}

// readAnswer waits for the answer to a question, and passes over all that is none.
func readAnswer(conn *dns.Conn, question *dns.Msg) (*dns.Msg, error) {
	for {
		m, err := conn.ReadMsg()
		var failed net.Error
		if err != nil && errors.As(err, &failed) {
			return nil, err
		}
		if err != nil || !m.Response || m.Id != question.Id || len(m.Question) != 1 || m.Question[0] != question.Question[0] {
			continue
		}
		return m, nil
	}
}
