package nft

import (
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// aliveProtocols are the members of the set that shows that pbr watch reads DNS answers.
var aliveProtocols = [...]uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}

// Beat puts them in for a time, in the place of those that are there if there are some. The error
// is unix.ENOENT if that is wrong, or there is no such set.
func (c *Conn) Beat(there bool, life time.Duration) error {
	return c.editMembers(unchecked, func(b *batch) {
		if there {
			b.alive(unix.NFT_MSG_DELSETELEM, 0, 0)
		}
		b.alive(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, life)
	})
}

// Silence takes them out. The error is unix.ENOENT if they are not there.
func (c *Conn) Silence() error {
	return c.editMembers(unchecked, func(b *batch) { b.alive(unix.NFT_MSG_DELSETELEM, 0, 0) })
}

func (b *batch) alive(msg, flags uint16, life time.Duration) {
	b.elementMessages(msg, flags, plan.SetTapAlive, len(aliveProtocols), func(i int) {
		at := b.open(unix.NFTA_LIST_ELEM)
		b.elementKey([]byte{aliveProtocols[i]})
		if life > 0 {
			b.u64(unix.NFTA_SET_ELEM_TIMEOUT, milliseconds(life))
		}
		b.shut(at)
	})
}
