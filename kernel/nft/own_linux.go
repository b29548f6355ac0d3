package nft

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// ShowOwn shows for a time of which IP versions the sets of own addresses are whole, in the place
// of those that are shown so far. The error is unix.ENOENT if one of these is not, or if there is
// no such set, and unix.EEXIST if others are; nothing is done then.
func (c *Conn) ShowOwn(was, whole []plan.Family, life time.Duration) error {
	return c.editMembers(unchecked, func(b *batch) {
		b.known(unix.NFT_MSG_DELSETELEM, 0, was, 0)
		b.known(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE|unix.NLM_F_EXCL, whole, life)
	})
}

// known writes messages with members of plan.SetOwnKnown.
func (b *batch) known(msg, flags uint16, versions []plan.Family, life time.Duration) {
	b.elementMessages(msg, flags, plan.SetOwnKnown, len(versions), func(i int) {
		at := b.open(unix.NFTA_LIST_ELEM)
		key := plan.NFProto(versions[i]).From
		b.elementKey(slices.Clone(key[:plan.TypeNFProto.Width()]))
		if life > 0 {
			b.u64(unix.NFTA_SET_ELEM_TIMEOUT, milliseconds(life))
		}
		b.shut(at)
	})
}
