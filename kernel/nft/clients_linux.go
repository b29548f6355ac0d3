package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/kernel/facts"
)

// Clients counts the elements of a map that packets fill by their value, a mark. It is empty when
// there is no such map.
func (c *Conn) Clients(set string) (map[uint32]int, error) {
	count := map[uint32]int{}
	err := c.dump(unix.NFT_MSG_GETSETELEM, familyInet, setFilter(set), func(raw []byte) error {
		for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			if v := attr(attr(elem, unix.NFTA_SET_ELEM_DATA), unix.NFTA_DATA_VALUE); len(v) == 4 {
				count[binary.NativeEndian.Uint32(v)]++
			}
		}
		return nil
	})
	// Packets fill the map while it is listed: one more or less does not matter.
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, errDumpInterrupted) {
		return nil, fmt.Errorf("listing the clients of map %s: %w", set, err)
	}
	return count, nil
}

// Remembered lists the elements of a map that packets fill, whose keys are addresses. It is empty
// when there is no such map.
func (c *Conn) Remembered(set string) (clients []facts.Client, err error) {
	err = c.dump(unix.NFT_MSG_GETSETELEM, familyInet, setFilter(set), func(raw []byte) error {
		for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			key, v := attr(attr(elem, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE),
				attr(attr(elem, unix.NFTA_SET_ELEM_DATA), unix.NFTA_DATA_VALUE)
			if a, is := netip.AddrFromSlice(key); is && len(v) == 4 {
				clients = append(clients, facts.Client{Addr: a, Mark: binary.NativeEndian.Uint32(v), Expires: expiration(elem),
					Timeout: elementTime(elem, unix.NFTA_SET_ELEM_TIMEOUT)})
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, errDumpInterrupted) {
		return nil, fmt.Errorf("listing the clients of map %s: %w", set, err)
	}
	return clients, nil
}

// MapElements returns the elements of a map that packets fill: keys and marks. It is empty when
// there is no such map.
func (c *Conn) MapElements(set string) (map[plan.Key]walk.Client, error) {
	members := map[plan.Key]walk.Client{}
	err := c.dump(unix.NFT_MSG_GETSETELEM, familyInet, setFilter(set), func(raw []byte) error {
		for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			key, v := attr(attr(elem, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE),
				attr(attr(elem, unix.NFTA_SET_ELEM_DATA), unix.NFTA_DATA_VALUE)
			if k := (plan.Key{}); len(v) == 4 && len(key) <= len(k) {
				copy(k[:], key)
				members[k] = walk.Client{Mark: binary.NativeEndian.Uint32(v), Expires: expiration(elem)}
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, errDumpInterrupted) {
		return nil, fmt.Errorf("listing the members of map %s: %w", set, err)
	}
	return members, nil
}

// MarkClients gives clients of a map that packets fill the marks that they have here, in one
// transaction; their time goes on. The error is unix.ENOENT if one of them is forgotten; nothing is
// done then.
func (c *Conn) MarkClients(set string, clients []facts.Client) error {
	return c.editMembers(unchecked, func(b *batch) {
		// The kernel has no message that changes an element's value.
		b.elementMessages(unix.NFT_MSG_DELSETELEM, 0, set, len(clients), func(i int) { b.clientElement(&clients[i], false) })
		b.elementMessages(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, set, len(clients), func(i int) { b.clientElement(&clients[i], true) })
	})
}

// clientElement appends a client's element, with its mark and time if it is a new one.
func (w *writer) clientElement(client *facts.Client, whole bool) {
	at := w.open(unix.NFTA_LIST_ELEM)
	w.elementKey(client.Addr.AsSlice())
	if whole {
		data := w.open(unix.NFTA_SET_ELEM_DATA)
		w.bytes(unix.NFTA_DATA_VALUE, binary.NativeEndian.AppendUint32(nil, client.Mark))
		w.shut(data)
		w.u64(unix.NFTA_SET_ELEM_TIMEOUT, milliseconds(client.Timeout))
		w.u64(unix.NFTA_SET_ELEM_EXPIRATION, milliseconds(min(client.Expires, client.Timeout)))
	}
	w.shut(at)
}

// expiration is after how long an element is gone.
func expiration(elem []byte) time.Duration {
	return elementTime(elem, unix.NFTA_SET_ELEM_EXPIRATION)
}

func elementTime(elem []byte, kind uint16) time.Duration {
	return time.Duration(number64(attr(elem, kind))) * time.Millisecond
}
