package nft

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootIDFile has a number that is new with each boot (proc_sys_kernel(5)).
const bootIDFile = "/proc/sys/kernel/random/boot_id"

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
	boot, err := os.ReadFile(bootIDFile)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s/%d", strings.TrimSpace(string(boot)), cookie)
}

// Identity names the network namespace among all of all boots; it is empty where the kernel cannot
// tell.
func (c *Conn) Identity() string { return c.identity() }
