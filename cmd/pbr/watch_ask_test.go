package main

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"pbr/integration/steps"
)

// TestAskerKnowsWhatIsFirst: it sleeps until the first question is due, and for good without any.
func TestAskerKnowsWhatIsFirst(t *testing.T) {
	a := newAsker(func([]byte, netip.Addr) {})
	step := steps.Of(t)
	step.Run("without names nothing is due", func(t *testing.T) {
		if _, any := a.first(); any {
			t.Error("without names a question is due")
		}
	})
	now := time.Now()
	a.due = map[asked]time.Time{
		{"a.example", dnsmessage.TypeA}: now.Add(time.Minute), {"b.example", dnsmessage.TypeA}: now,
		{"b.example", dnsmessage.TypeAAAA}: now.Add(time.Second),
	}
	step.Run("the first is due", func(t *testing.T) {
		if at, any := a.first(); !any || !at.Equal(now) {
			t.Errorf("first is %v, %v", at, any)
		}
	})
	step.Run("it is the next", func(t *testing.T) {
		if q, ok := a.next(now); !ok || q.name != "b.example" {
			t.Errorf("next is %v, %v", q, ok)
		}
	})
	step.Run("then the second is due", func(t *testing.T) {
		if at, _ := a.first(); !at.Equal(now.Add(time.Second)) {
			t.Errorf("then first is %v", at.Sub(now))
		}
	})
}
