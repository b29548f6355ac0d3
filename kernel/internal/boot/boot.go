// Package boot tells one boot of the machine from another.
package boot

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// ID returns the kernel's identifier of this boot (proc_sys_kernel(5)).
var ID = sync.OnceValues(func() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot's identity: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
})
