package main

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestAskerKnowsWhatIsFirst: it sleeps until the first question is due, and for good without any.
func TestAskerKnowsWhatIsFirst(t *testing.T) {
	a := newAsker(func([]byte, netip.Addr) {})
	if _, any := a.first(); any {
		t.Error("without names a question is due")
	}
	now := time.Now()
	a.due = map[asked]time.Time{
		{"a.example", dnsmessage.TypeA}: now.Add(time.Minute), {"b.example", dnsmessage.TypeA}: now,
		{"b.example", dnsmessage.TypeAAAA}: now.Add(time.Second),
	}
	if at, any := a.first(); !any || !at.Equal(now) {
		t.Errorf("first is %v, %v", at, any)
	}
	if q, ok := a.next(now); !ok || q.name != "b.example" {
		t.Errorf("next is %v, %v", q, ok)
	}
	if at, _ := a.first(); !at.Equal(now.Add(time.Second)) {
		t.Errorf("then first is %v", at.Sub(now))
	}
}
