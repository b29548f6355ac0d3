package kernel

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// peerNames resolves netlink ports and threads to processes: name and number, as long as the
// process exists.
type peerNames struct {
	mu sync.Mutex
	// ports caches recent answers, so that a burst costs one search; the last search began at
	// since.
	ports map[uint32]string
	since time.Time
}

func newPeerNames() *peerNames { return &peerNames{} }

// forgetAfter is how long an answer is cached: ports and process numbers are reused.
const forgetAfter = time.Second

// port names the process that has a route netlink port; "" if that is unknown.
//
// The kernel gives the first netlink socket of a process the process number as its port, and others
// a number from 2^31 on (netlink_autobind); some libraries choose others. So all but the first are
// looked up by socket.
func (c *peerNames) port(port uint32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.since) > forgetAfter {
		c.ports, c.since = map[uint32]string{}, now
	}
	who, known := c.ports[port]
	if !known {
		if port < 1<<22 { // the highest process number (PID_MAX_LIMIT, linux/threads.h)
			who = process(int(port))
		} else if inode := netlinkInode(port); inode != "" {
			who = process(socketHolder(inode))
		}
		c.ports[port] = who
	}
	return who
}

// task names the process of a thread. If the thread has ended, it uses the name that the kernel
// sent with it.
func (c *peerNames) task(id int, name string) string {
	if id == 0 {
		return name
	}
	if who := process(id); who != "" {
		return who
	}
	return fmt.Sprintf("%s (process %d)", name, id)
}

// process names the process that a thread belongs to; "" if there is none.
func process(id int) string {
	if id <= 0 {
		return ""
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
	if err != nil {
		return ""
	}
	var name string
	for line := range bytes.Lines(status) {
		key, value, _ := strings.Cut(string(line), ":")
		switch value = strings.TrimSpace(value); key {
		case "Name":
			name = value
		case "Tgid":
			return fmt.Sprintf("%s (process %s)", name, value)
		}
	}
	return ""
}

// netlinkInode finds the socket that has a route netlink port in the thread's /proc/net/netlink:
// address, protocol, port, groups, receive and send queue, dump, locks, drops, inode.
func netlinkInode(port uint32) string {
	f, err := os.Open("/proc/thread-self/net/netlink")
	if err != nil {
		return ""
	}
	defer f.Close()
	wanted := strconv.FormatUint(uint64(port), 10)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 10 && fields[1] == strconv.Itoa(unix.NETLINK_ROUTE) && fields[2] == wanted {
			return fields[9]
		}
	}
	return ""
}

// socketHolder finds a process that has a socket open; 0 if there is none.
func socketHolder(inode string) int {
	wanted := "socket:[" + inode + "]"
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, p := range processes {
		id, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := "/proc/" + p.Name() + "/fd"
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, file := range files {
			if link, err := os.Readlink(dir + "/" + file.Name()); err == nil && link == wanted {
				return id
			}
		}
	}
	return 0
}
