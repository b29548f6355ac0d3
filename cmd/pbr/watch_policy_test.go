package main

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"pbr/cmd/pbr/applied"
	"pbr/compiler/policy"
)

// Two policies may be read before either is in force: the text of the second is there when the
// first one is. The text of one that nobody holds any more is not kept.
func TestTextsOfPoliciesThatWait(t *testing.T) {
	p := &policies{texts: map[weak.Pointer[policy.Document]]*applied.Policy{}}
	first, second := &policy.Document{}, &policy.Document{}
	p.know(first, &applied.Policy{Name: "first"})
	p.know(second, &applied.Policy{Name: "second"})
	for _, doc := range []*policy.Document{second, first, second} {
		p.inForce(doc)
		if now := p.current(); now == nil || now != p.text(doc) {
			t.Fatalf("in force is %+v", now)
		}
	}
	runtime.KeepAlive(first)
	for range 100 {
		runtime.GC()
		p.mu.Lock()
		n := len(p.texts)
		p.mu.Unlock()
		if n == 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(p.texts) != 1 || p.text(second) == nil {
		t.Errorf("%d texts are kept", len(p.texts))
	}
}
