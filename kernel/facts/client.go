package facts

import (
	"net/netip"
	"time"
)

// Client is a host that a sticky balance remembers.
type Client struct {
	Addr netip.Addr
	// Mark is that of its member.
	Mark uint32
	// Expires is after how long it is forgotten, unless a new connection of it comes; Timeout is
	// how long it is remembered after such a connection.
	Expires, Timeout time.Duration
}
