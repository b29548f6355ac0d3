package route

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// vethPeer is the attribute of a pair's other end (VETH_INFO_PEER, linux/veth.h).
const vethPeer = 1

// TwoLinks creates two interfaces that are up, of a kind that the kernel has, and sets the loopback
// up: IPv4 needs the table that its address is in. It is for a network namespace of its own.
func (c *Conn) TwoLinks(names [2]string) error {
	peer := appendText(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_IFNAME, names[1])
	if err := c.addLink(names[0], "veth", appendAttr(nil, vethPeer, peer...)); err != nil {
		if err := cmp.Or(c.addLink(names[0], "dummy", nil), c.addLink(names[1], "dummy", nil)); err != nil {
			return err
		}
	}
	return cmp.Or(c.setUpLink("lo"), c.setUpLink(names[0]), c.setUpLink(names[1]))
}

// addLink creates an interface of a kind; data is what that kind needs.
func (c *Conn) addLink(name, kind string, data []byte) error {
	info := appendText(nil, unix.IFLA_INFO_KIND, kind)
	if data != nil {
		info = appendAttr(info, unix.IFLA_INFO_DATA, data...)
	}
	body := appendText(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_IFNAME, name)
	body = appendAttr(body, unix.IFLA_LINKINFO, info...)
	if err := c.request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil {
		return fmt.Errorf("creating an interface of kind %s: %w", kind, err)
	}
	return nil
}

func (c *Conn) setUpLink(name string) error {
	index, err := c.linkIndex(name)
	if err != nil {
		return err
	}
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], index)
	binary.NativeEndian.PutUint32(body[8:], unix.IFF_UP)  // ifi_flags
	binary.NativeEndian.PutUint32(body[12:], unix.IFF_UP) // ifi_change
	if err := c.request(unix.RTM_NEWLINK, 0, body); err != nil {
		return fmt.Errorf("setting interface %s up: %w", name, err)
	}
	return nil
}
