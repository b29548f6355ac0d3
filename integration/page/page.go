// Package page puts what a benchmark measured into the documentation: nobody types numbers.
package page

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Insert puts text between a file's lines "<!-- NAME -->" and "<!-- end of NAME -->".
func Insert(file, name string, text []byte) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the page for the figures: %w", err)
	}
	begin, end := []byte("<!-- "+name+" -->\n"), []byte("<!-- end of "+name+" -->\n")
	head, rest, found := bytes.Cut(page, begin)
	_, tail, ended := bytes.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s lacks the line %q or %q", file, begin, end)
	}
	whole := bytes.Join([][]byte{head, begin, []byte("\n"), text, end, tail}, nil)
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}

// Machine is what figures were measured on, such as "Linux 6.18.44, 2 CPUs, AMD EPYC".
func Machine() string {
	return fmt.Sprintf("Linux %s, %d CPUs, %s", Kernel(), runtime.NumCPU(), cpuModel())
}

// Kernel is the kernel's version without what distributions add.
func Kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown version"
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return release
}

// cpuModel is what the processor calls itself (proc_cpuinfo(5)); not all architectures have that.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
