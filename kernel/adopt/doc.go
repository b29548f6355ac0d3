// Package adopt decides about connections that are older than pbr's table.
//
// A connection gets its mark and its translation from its first packet. If that packet passed while
// the table did not exist (before the first apply, or after somebody's "nft flush ruleset"), the
// connection has neither, and no later packet adds them. So after the table is created, each
// connection is compared with what a new connection of the same addresses and ports would get. It
// is then left alone, pinned to the uplink whose address it has, or deleted so that its next packet
// starts a new connection. One from outside that has no uplink's address is pinned by its next
// packet, to the uplink that this arrives on.
//
// The package asks the kernel nothing: everything it knows comes as Facts.
package adopt
