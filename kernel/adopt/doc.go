// Package adopt decides what becomes of connections that are older than pbr's table.
//
// A connection gets its mark and its translation from its first packet. One whose first packet
// passed while the table was not there (before the first apply, after somebody's "nft flush
// ruleset") has neither, and no later packet gives it any. So when the table has been made, each is
// compared with what a new connection of the same addresses and ports would become: it is left
// alone, it is pinned to the uplink whose address it carries, or it is deleted, so that its next
// packet starts anew.
//
// Nothing here asks the kernel: what it knows comes as Facts.
package adopt
