package main

import (
	"bufio"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shedStart gives back the memory that only a start, or a new policy, needed: what was freed, and
// the parts of the program that are not used again. The kernel maps sixteen pages around each that
// is; it maps those that are needed again from its cache.
func shedStart() {
	debug.FreeOSMemory()
	if maps, err := os.Open("/proc/self/smaps"); err == nil {
		for _, m := range programPages(maps) {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.at, m.size, unix.MADV_DONTNEED) // nothing is lost if it fails
		}
		_ = maps.Close()
	}
}

// mapping is a part of the address space.
type mapping struct{ at, size uintptr }

// programPages are the mappings of the program's file that are what the file has (proc(5), smaps):
// they cannot be written, and no page of them was changed, as by a linker at the start.
func programPages(smaps io.Reader) (list []mapping) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	var now mapping
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 6 && strings.Contains(fields[0], "-") && !strings.HasSuffix(fields[0], ":"):
			now = mapping{}
			if fields[5] == program && strings.HasPrefix(fields[1], "r-") && strings.HasSuffix(fields[1], "p") {
				from, to, _ := strings.Cut(fields[0], "-")
				first, err1 := strconv.ParseUint(from, 16, 64)
				end, err2 := strconv.ParseUint(to, 16, 64)
				if err1 == nil && err2 == nil && first < end {
					now = mapping{uintptr(first), uintptr(end - first)}
				}
			}
		case len(fields) == 5 && strings.Contains(fields[0], "-"): // memory of no file
			now = mapping{}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && now.size > 0:
			list = append(list, now)
		}
	}
	return list
}
