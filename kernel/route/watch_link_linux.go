package route

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// linkFlags are the flags of a link that matter.
const linkFlags = unix.IFF_UP | unix.IFF_LOWER_UP

// linkState is what is known of a link. The kernel sends link events for many more reasons than the
// changes that matter.
type linkState struct {
	name  string
	flags uint32
}

// addrKey identifies an address.
type addrKey struct {
	index int32
	local netip.Prefix
	peer  netip.Addr
}

// learn reads the existing links and addresses.
func (w *Watcher) learn(c *Conn) error {
	w.links, w.addrs = map[int32]linkState{}, map[addrKey]uint32{}
	links, err := c.dump(unix.RTM_GETLINK, unix.RTM_NEWLINK, make([]byte, unix.SizeofIfInfomsg))
	if err != nil {
		return fmt.Errorf("listing interfaces: %w", err)
	}
	for _, m := range links {
		if _, _, err := w.link(m, false); err != nil {
			return fmt.Errorf("listing interfaces: %w", err)
		}
	}
	addrs, err := c.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	for _, m := range addrs {
		if _, _, err := w.addr(m, false); err != nil {
			return fmt.Errorf("listing addresses: %w", err)
		}
	}
	return nil
}

// link decodes struct ifinfomsg (family, pad, type, index, flags, change; rtnetlink(7)) and
// attributes. Messages of a family, such as those about a bridge's ports, are not about the link
// itself.
func (w *Watcher) link(b []byte, gone bool) (Change, bool, error) {
	if len(b) < unix.SizeofIfInfomsg {
		return Change{}, false, fmt.Errorf("link message of %d bytes", len(b))
	}
	if b[0] != unix.AF_UNSPEC {
		return Change{}, false, nil
	}
	attrs, err := parseAttrs(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return Change{}, false, err
	}
	index := int32(binary.NativeEndian.Uint32(b[4:]))
	now := linkState{flags: binary.NativeEndian.Uint32(b[8:]) & linkFlags}
	for _, a := range attrs {
		if a.typ == unix.IFLA_IFNAME {
			now.name = a.text()
		}
	}
	before, known := w.links[index]
	if gone {
		delete(w.links, index)
		return Change{Kind: LinkChange, Text: fmt.Sprintf("link %s deleted", now.name)}, true, nil
	}
	w.links[index] = now
	if known && before == now {
		return Change{}, false, nil
	}
	return Change{Kind: LinkChange, Text: describeLink(before, now, known)}, true, nil
}

func describeLink(before, now linkState, known bool) string {
	changed := before.flags ^ now.flags
	switch {
	case !known:
		return fmt.Sprintf("link %s added", now.name)
	case before.name != now.name:
		return fmt.Sprintf("link %s renamed to %s", before.name, now.name)
	case changed&unix.IFF_UP != 0 && now.flags&unix.IFF_UP != 0:
		return fmt.Sprintf("link %s set up", now.name)
	case changed&unix.IFF_UP != 0:
		return fmt.Sprintf("link %s set down", now.name)
	case now.flags&unix.IFF_LOWER_UP != 0:
		return fmt.Sprintf("link %s has carrier", now.name)
	}
	return fmt.Sprintf("link %s lost its carrier", now.name)
}

// addr decodes struct ifaddrmsg (family, prefix length, flags, scope, index; rtnetlink(7)) and
// attributes.
func (w *Watcher) addr(b []byte, gone bool) (Change, bool, error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return Change{}, false, fmt.Errorf("address message of %d bytes", len(b))
	}
	attrs, err := parseAttrs(b[unix.SizeofIfAddrmsg:])
	if err != nil {
		return Change{}, false, err
	}
	k := addrKey{index: int32(binary.NativeEndian.Uint32(b[4:]))}
	flags := uint32(b[2])
	var local netip.Addr
	for _, a := range attrs {
		switch a.typ {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.data)
		case unix.IFA_ADDRESS:
			k.peer, _ = netip.AddrFromSlice(a.data)
		case unix.IFA_FLAGS:
			flags = a.u32(0)
		}
	}
	if !local.IsValid() {
		local = k.peer // IPv6 without a peer has IFA_ADDRESS alone
	}
	k.local = netip.PrefixFrom(local, int(b[1]))
	flags &= unusable
	before, known := w.addrs[k]
	if gone {
		delete(w.addrs, k)
		return Change{Kind: AddressChange, Text: fmt.Sprintf("address %s deleted from link %s", k.local, w.links[k.index].name)}, true, nil
	}
	w.addrs[k] = flags
	if known && before == flags {
		return Change{}, false, nil // -- only its lifetime changed, as with each router advertisement
	}
	what := "added to"
	if known {
		what = "changed on"
	}
	return Change{Kind: AddressChange, Text: fmt.Sprintf("address %s %s link %s", k.local, what, w.links[k.index].name)}, true, nil
}
