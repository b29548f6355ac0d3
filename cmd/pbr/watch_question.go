package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// askSize is how long an answer over UDP may be: longer ones are split up on some ways (DNS flag
// day 2020).
const askSize = 1232

// reply is a name server's answer. Its TTL is that of the record that ends first, askAgain without
// any.
type reply struct {
	text      []byte
	ttl       time.Duration
	truncated bool
}

// newQuestion returns a question for the records of a name.
func newQuestion(name string, kind dnsmessage.Type) (*dnsmessage.Message, error) {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, err
	}
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(askSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	return &dnsmessage.Message{
		Header:      dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions:   []dnsmessage.Question{{Name: n, Type: kind, Class: dnsmessage.ClassINET}},
		Additionals: []dnsmessage.Resource{{Header: edns, Body: &dnsmessage.OPTResource{}}},
	}, nil
}

// askServer asks a server over UDP, and over TCP for an answer that was too long for it.
func askServer(ctx context.Context, server string, question *dnsmessage.Message) (reply, error) {
	r, err := exchange(ctx, "udp", server, question)
	if err == nil && r.truncated {
		r, err = exchange(ctx, "tcp", server, question)
	}
	return r, err
}

// exchange sends a question to a server, and waits for its answer.
func exchange(ctx context.Context, network, server string, question *dnsmessage.Message) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	text, err := question.Pack()
	if err != nil {
		return reply{}, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, server)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	read := readDatagram
	if network == "tcp" {
		text, read = append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...), readFramed
	}
	if _, err := conn.Write(text); err != nil {
		return reply{}, err
	}
	for {
		answer, err := read(conn)
		if err != nil {
			return reply{}, err
		}
		if r, ok := parseReply(answer, question); ok {
			return r, nil
		}
	}
}

func readDatagram(conn net.Conn) ([]byte, error) {
	buf := make([]byte, askSize)
	n, err := conn.Read(buf)
	return buf[:n], err
}

// readFramed reads a message of a stream, which its length precedes (RFC 1035, 4.2.2).
func readFramed(conn net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	text := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, text)
	return text, err
}

// parseReply reads a message, and reports whether it is the answer to a question.
func parseReply(text []byte, question *dnsmessage.Message) (r reply, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(text)
	if err != nil || !h.Response || h.ID != question.ID {
		return r, false
	}
	if asked, err := p.AllQuestions(); err != nil || !slices.Equal(asked, question.Questions) {
		return r, false
	}
	r = reply{text: text, ttl: askAgain, truncated: h.Truncated}
	for first := true; ; first = false {
		rr, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return r, true
		}
		if err != nil || p.SkipAnswer() != nil {
			return r, r.truncated
		}
		if left := time.Duration(rr.TTL) * time.Second; first || left < r.ttl {
			r.ttl = left
		}
	}
}
