package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestRoomIsFree: memory that was asked for in huge pages is not in use.
func TestRoomIsFree(t *testing.T) {
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	growInHugePages(size)
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > before.HeapAlloc+size/2 {
		t.Errorf("%d bytes were in use, and are %d", before.HeapAlloc, after.HeapAlloc)
	}
}

// TestHugePages: the kernel is asked for huge pages.
func TestHugePages(t *testing.T) {
	t.Parallel()
	room := make([]byte, 4<<20)
	adviseHugePages(room)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(room))) + 2<<20
	_, err := os.Stat("/sys/kernel/mm/transparent_hugepage/enabled")
	if flags := flagsAt(t, at); slices.Contains(flags, "hg") != (err == nil) {
		t.Errorf("what is at %#x has the flags %v, with %v", at, flags, err)
	}
	runtime.KeepAlive(room)
}

// flagsAt are those of the memory at an address (proc_pid_smaps(5)).
func flagsAt(t *testing.T, at uintptr) []string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	here := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			here = from <= at && at < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && here {
			return strings.Fields(flags)
		}
	}
	t.Fatalf("nothing is at %#x", at)
	return nil
}

// TestExpectedMemory: only a regular file says how much memory it will take.
func TestExpectedMemory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pbr.toml")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{file: 1000 * memoryOfByte, file + ".missing": 0, "": 0, filepath.Dir(file): 0, os.DevNull: 0} {
		if got := expectedMemory(name); got != want {
			t.Errorf("%q: %d, not %d", name, got, want)
		}
	}
}
