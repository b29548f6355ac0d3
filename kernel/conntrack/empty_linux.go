package conntrack

import (
	"cmp"
	"encoding/binary"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The message that asks how many connections there are, and the attribute that says it
// (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctGetStats       = unix.NFNL_SUBSYS_CTNETLINK<<8 + 5
	ctaGlobalEntries = 1
)

// none reports whether the network namespace has no connection, not even an unconfirmed one. To
// list none takes as long as to list those of all namespaces, which share one table: 10 ms where it
// is large. Where the kernel does not say, they are listed.
func none(c *netlink.Conn) bool {
	_, err := c.Send(netlink.Message{
		Header: netlink.Header{Type: ctGetStats, Flags: netlink.Request},
		Data:   make([]byte, sizeofNfgen),
	})
	if err != nil {
		return false
	}
	answer, err := oneAnswer(c)
	if err != nil || len(answer) < sizeofNfgen {
		return false
	}
	attrs, err := netlink.NewAttributeDecoder(answer[sizeofNfgen:])
	if err != nil {
		return false
	}
	attrs.ByteOrder = binary.BigEndian
	for attrs.Next() {
		if attrs.Type() == ctaGlobalEntries {
			return attrs.Uint32() == 0 && attrs.Err() == nil
		}
	}
	return false
}

// oneAnswer returns the data of the one message that answers ctGetStats. The kernel marks it as one
// of several, so that the library would wait for more.
func oneAnswer(c *netlink.Conn) ([]byte, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	buffer, n := make([]byte, 4096), 0
	failed := raw.Read(func(fd uintptr) (done bool) {
		n, _, err = unix.Recvfrom(int(fd), buffer, 0)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if failed != nil || err != nil {
		return nil, cmp.Or(failed, err)
	}
	messages, err := syscall.ParseNetlinkMessage(buffer[:n])
	if err != nil || len(messages) != 1 || messages[0].Header.Type != ctGetStats {
		return nil, unix.EBADMSG
	}
	return messages[0].Data, nil
}
