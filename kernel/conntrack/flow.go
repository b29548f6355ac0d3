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
