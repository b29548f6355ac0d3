package conntrack

import (
	"net/netip"
	"time"
)

// Flow is a connection as it was listed, with its mark and the start of a request to change it.
type Flow struct {
	request []byte
	// Mark is the whole mark, including bits that are not pbr's.
	Mark uint32
	// Orig is the direction in which the connection was opened. Reply is the direction of the
	// answers, as they arrive here.
	Orig, Reply Tuple
	// EchoID is the identifier of echo requests (RFC 792), 0 for anything else.
	EchoID uint16
	// Expires is how long the connection lasted from then on without another packet.
	Expires time.Duration
	Traffic
}

// Key identifies the connection.
func (f *Flow) Key() string { return string(f.request) }

// Ends returns who opened a connection and who answers it; an address that cannot be read is
// invalid.
func (f *Flow) Ends() [2]netip.Addr { return [2]netip.Addr{f.Orig.Src, f.Reply.Src} }

// Ordinary reports whether a table can route a connection: its addresses are unicast and not
// link-local.
func (f *Flow) Ordinary() bool {
	for _, a := range []netip.Addr{f.Orig.Src, f.Orig.Dst, f.Reply.Src, f.Reply.Dst} {
		if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == broadcast {
			return false
		}
	}
	return true
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
