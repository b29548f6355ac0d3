package conntrack

import (
	"net/netip"
	"testing"

	lib "github.com/ti-mo/conntrack"
)

// One connection is found by the tuple that opened it, and not by that of its answers.
func TestFind(t *testing.T) {
	newNamespace(t)
	ct := newConntrack(t)
	for i, src := range []string{"10.0.0.1", "2001:db8::1"} {
		dst := []string{"8.8.8.8", "2001:db8:8::8"}[i]
		must(t, ct.Create(lib.NewFlow(17, 0, netip.MustParseAddr(src), netip.MustParseAddr(dst), 1000, 443, 600, 0x440000)))
		tuple := Tuple{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: 17, SPort: 1000, DPort: 443, HasPorts: true}
		f, err := Find(&tuple)
		if must(t, err); f == nil || f.Orig != tuple || f.Mark != 0x440000 || f.Reply.Src != tuple.Dst {
			t.Errorf("%s: found %+v", src, f)
		}
		answer, other := tuple.Reversed(), tuple
		other.SPort++
		for name, absent := range map[string]Tuple{"an answer": answer, "another port": other} {
			if f, err := Find(&absent); f != nil || err != nil {
				t.Errorf("%s: %s: found %+v, %v", src, name, f, err)
			}
		}
	}
}
