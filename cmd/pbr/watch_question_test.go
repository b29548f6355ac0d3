package main

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

// TestQuestionsAreAsTheLibraryWritesThem has miekg/dns read the question and write the answers.
func TestQuestionsAreAsTheLibraryWritesThem(t *testing.T) {
	question, err := newQuestion("example.com", dnsmessage.TypeAAAA)
	if err != nil {
		t.Fatal(err)
	}
	text, err := question.Pack()
	if err != nil {
		t.Fatal(err)
	}
	read := new(dns.Msg)
	if err := read.Unpack(text); err != nil {
		t.Fatal(err)
	}
	t.Run("the library reads what was asked", func(t *testing.T) {
		want := new(dns.Msg).SetQuestion("example.com.", dns.TypeAAAA).SetEdns0(askSize, false)
		if want.Id = question.ID; read.String() != want.String() {
			t.Errorf("have\n%s\nwant\n%s", read, want)
		}
	})
	t.Run("a name that is too long is not asked for", func(t *testing.T) {
		if _, err := newQuestion(string(bytes.Repeat([]byte("a"), 300)), dnsmessage.TypeA); err == nil {
			t.Error("a name of 300 bytes is asked for")
		}
	})
	alias, _ := dns.NewRR("example.com. 60 IN CNAME www.example.com.")
	record, _ := dns.NewRR("www.example.com. 30 IN AAAA 2001:db8::1")
	for name, row := range map[string]struct {
		change func(*dns.Msg)
		cut    int
		ok     bool
		ttl    time.Duration
	}{
		"answer":             {func(m *dns.Msg) { m.Answer = []dns.RR{alias, record} }, 0, true, 30 * time.Second},
		"compressed":         {func(m *dns.Msg) { m.Answer, m.Compress = []dns.RR{alias, record}, true }, 0, true, 30 * time.Second},
		"no records":         {func(m *dns.Msg) {}, 0, true, askAgain},
		"no such name":       {func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, 0, true, askAgain},
		"cut":                {func(m *dns.Msg) { m.Answer = []dns.RR{record} }, 3, false, 0},
		"cut, and says so":   {func(m *dns.Msg) { m.Answer, m.Truncated = []dns.RR{record}, true }, 3, true, 0},
		"another number":     {func(m *dns.Msg) { m.Id++ }, 0, false, 0},
		"a question":         {func(m *dns.Msg) { m.Response = false }, 0, false, 0},
		"another's answer":   {func(m *dns.Msg) { m.Question[0].Name = "example.org." }, 0, false, 0},
		"of another type":    {func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }, 0, false, 0},
		"without a question": {func(m *dns.Msg) { m.Question = nil }, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(dns.Msg).SetReply(read)
			row.change(m)
			text, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			r, ok := parseReply(text[:len(text)-row.cut], question)
			if ok != row.ok || ok && row.cut == 0 && (r.ttl != row.ttl || !bytes.Equal(r.text, text)) || ok && r.truncated != m.Truncated {
				t.Errorf("%s: %v %v", name, r, ok)
			}
		})
	}
}

func TestMessagesOfAStream(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	go func() { _, _ = there.Write([]byte{0, 3, 'a', 'b', 'c', 0, 2, 'd'}); _ = there.Close() }()
	t.Run("a whole message", func(t *testing.T) {
		if text, err := readFramed(here); err != nil || string(text) != "abc" {
			t.Errorf("%q %v", text, err)
		}
	})
	t.Run("half a message is an error", func(t *testing.T) {
		if text, err := readFramed(here); err == nil {
			t.Errorf("half a message is read: %q", text)
		}
	})
}
