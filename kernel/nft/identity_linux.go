package nft

import (
	"fmt"

	"pbr/kernel/internal/boot"

	"golang.org/x/sys/unix"
)

// identity names the network namespace among all of all boots, empty where the kernel (before 5.14)
// cannot tell: generations are numbers that only mean something within one namespace.
func (s *socket) identity() string {
	var cookie uint64
	if err := s.link.Control(func(fd int) (err error) {
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	}); err != nil {
		return ""
	}
	bootID, err := boot.ID()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s/%d", bootID, cookie)
}

// Identity names the network namespace among all of all boots; it is empty where the kernel cannot
// tell.
func (c *Conn) Identity() string { return c.identity() }
