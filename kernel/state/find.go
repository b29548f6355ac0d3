package state

import (
	"os"
	"path/filepath"
	"strings"
)

const (
	// variable has the directories that systemd created for a unit, separated by colons
	// (systemd.exec(5)).
	variable = "STATE_DIRECTORY"
	// lasting is the state directory of the network namespace of process 1.
	lasting = "/var/lib/pbr"
	// namesDir has a file for each named network namespace (ip-netns(8)).
	namesDir = "/run/netns"
	// fallbackName is the directory in /run for a namespace that has no lasting one.
	fallbackName = "state"
)

// Find returns the state directory of the calling thread's network namespace. runDir is the
// namespace's directory in /run (kernel.Kernel.Dir). It needs no privilege and creates nothing.
func Find(runDir string) Dir {
	return find(place{
		variable: os.Getenv(variable), lasting: lasting, names: namesDir, runDir: runDir,
		first: sameFile("/proc/1/net/dev", "/proc/thread-self/net/dev"), own: "/proc/thread-self/ns/net",
	})
}

// place has the paths that Find uses.
type place struct {
	variable, lasting, names, runDir string
	// first reports whether this is the network namespace of process 1. Everybody can read the
	// identity of /proc/1/net/dev, unlike that of /proc/1/ns/net.
	first bool
	own   string
}

func find(p place) Dir {
	if first, _, _ := strings.Cut(p.variable, ":"); first != "" {
		return Dir{path: first}
	}
	if p.first {
		return Dir{path: p.lasting}
	}
	if name := nameOf(p.own, p.names); name != "" {
		return Dir{path: filepath.Join(p.lasting, "netns", name)}
	}
	return Dir{
		path:      filepath.Join(p.runDir, fallbackName),
		temporary: "this network namespace has no name in " + p.names + ", so pbr keeps no state for it across a reboot",
	}
}

// nameOf returns the first name of a network namespace, "" if it has none.
func nameOf(namespace, names string) string {
	entries, err := os.ReadDir(names) // sorted
	if err != nil {
		return ""
	}
	own, err := os.Stat(namespace)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if isFile(own, filepath.Join(names, e.Name())) {
			return e.Name()
		}
	}
	return ""
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	return err == nil && isFile(x, b)
}

// isFile reports whether a path leads to a file.
func isFile(file os.FileInfo, path string) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(file, info)
}
