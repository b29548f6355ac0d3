package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSPort is where DNS servers listen (RFC 1035, 4.2.1).
const (
	DNSPort = "53"
	dnsPort = 53
)

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
		var answer dnsAnswer
		if answer, err = ask(conn, question); err != nil {
			return 0, err
		}
		if err = c.Expect.resolved(answer); err == nil {
			return time.Since(sent), nil
		}
	}
	return 0, err
}

// dnsAnswer is what counts of a DNS answer.
type dnsAnswer struct {
	code  dnsmessage.RCode
	addrs []netip.Addr
}

// maxAnswer is how long an answer over UDP can be (RFC 1035, 4.2.1).
const maxAnswer = 512

// ask sends a question and waits for its answer.
func ask(conn net.Conn, question dnsQuestion) (dnsAnswer, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(question.name, ".") + ".")
	if err != nil {
		return dnsAnswer{}, fmt.Errorf("asking: %w", err)
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: question.kind, Class: dnsmessage.ClassINET}},
	}
	text, err := m.Pack()
	if err == nil {
		_, err = conn.Write(text)
	}
	if err != nil {
		return dnsAnswer{}, fmt.Errorf("asking: %w", cause(err))
	}
	answer, err := awaitAnswer(conn, &m)
	if err != nil {
		return dnsAnswer{}, fmt.Errorf("waiting for the answer: %w", cause(err))
	}
	return answer, nil
}

// awaitAnswer waits for the answer to a question, and passes over all that is none.
func awaitAnswer(conn net.Conn, question *dnsmessage.Message) (dnsAnswer, error) {
	buf := make([]byte, maxAnswer)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return dnsAnswer{}, err
		}
		if a, ok := parseAnswer(buf[:n], question); ok {
			return a, nil
		}
	}
}

// parseAnswer reads a message, and reports whether it is the answer to a question.
func parseAnswer(text []byte, question *dnsmessage.Message) (a dnsAnswer, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(text)
	if err != nil || !h.Response || h.ID != question.ID {
		return a, false
	}
	if asked, err := p.AllQuestions(); err != nil || !slices.Equal(asked, question.Questions) {
		return a, false
	}
	a.code = h.RCode
	for {
		r, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return a, true
		}
		if err == nil {
			err = a.take(&p, r.Type)
		}
		if err != nil {
			return a, h.Truncated // then the last record may be a part of one
		}
	}
}

// take reads a record's body. Package dnsmessage knows many types, and brings all of them into the
// program for whoever asks it for any record.
func (a *dnsAnswer) take(p *dnsmessage.Parser, kind dnsmessage.Type) error {
	switch kind {
	case dnsmessage.TypeA:
		body, err := p.AResource()
		if err == nil {
			a.addrs = append(a.addrs, netip.AddrFrom4(body.A))
		}
		return err
	case dnsmessage.TypeAAAA:
		body, err := p.AAAAResource()
		if err == nil {
			a.addrs = append(a.addrs, netip.AddrFrom16(body.AAAA).Unmap())
		}
		return err
	}
	return p.SkipAnswer()
}
