package kernel

import (
	"errors"
	"net/netip"

	"pbr/kernel/conntrack"
)

// FlushConnections is conntrack.Delete, and deletes what default has left. It may run concurrently
// with everything else, in a thread of k's network namespace.
func (k *Kernel) FlushConnections(flushes []conntrack.Flush, left []Unmarked) (int, error) {
	n, err := conntrack.Delete(flushes)
	more, also := flushUnmarked(left)
	return n + more, errors.Join(err, also)
}

// Pin is conntrack.Mark, and pins what default is about to leave. It may run concurrently with
// everything else, in a thread of k's network namespace.
func (k *Kernel) Pin(pins []conntrack.Pin, leaving []UnmarkedPin) (int, error) {
	n, err := conntrack.Mark(pins)
	more, also := pinUnmarked(leaving)
	return n + more, errors.Join(err, also)
}

// Connections is conntrack.Count. It may run concurrently with everything else, in a thread of k's
// network namespace.
func (k *Kernel) Connections(mask uint32) (map[uint32]conntrack.Usage, error) {
	return conntrack.Count(mask)
}

// Flows is conntrack.ListAll. It may run concurrently with everything else, in a thread of k's
// network namespace.
func (k *Kernel) Flows() ([]conntrack.Flow, error) { return conntrack.ListAll() }

// Flow is conntrack.Find. It may run concurrently with everything else, in a thread of k's network
// namespace.
func (k *Kernel) Flow(t *conntrack.Tuple) (*conntrack.Flow, error) { return conntrack.Find(t) }

// RemoveFlows is conntrack.RemoveAll. It may run concurrently with everything else, in a thread of
// k's network namespace.
func (k *Kernel) RemoveFlows(flows []conntrack.Flow) (int, error) { return conntrack.RemoveAll(flows) }

// FollowFlows is conntrack.Follow. It may run concurrently with everything else, in a thread of k's
// network namespace.
func (k *Kernel) FollowFlows() (*conntrack.Follower, error) { return conntrack.Follow() }

// Neighbours returns the Ethernet addresses of the hosts that the kernel talks to.
func (k *Kernel) Neighbours() (map[netip.Addr][6]byte, error) { return k.route.Neighbours() }
