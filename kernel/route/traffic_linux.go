package route

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Traffic reads the byte counts of interfaces; those that do not exist are omitted.
func (c *Conn) Traffic(interfaces []string) (map[string]Traffic, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("reading the boot's identity: %w", err)
	}
	links, err := untilWhole(c.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	out := map[string]Traffic{}
	for _, l := range links {
		a := l.Attrs()
		if s := a.Statistics; s != nil && slices.Contains(interfaces, a.Name) {
			out[a.Name] = Traffic{Boot: strings.TrimSpace(string(boot)), Index: a.Index, Bytes: s.RxBytes + s.TxBytes, Received: s.RxBytes, Sent: s.TxBytes}
		}
	}
	return out, nil
}
