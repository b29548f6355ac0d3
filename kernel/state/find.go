package state

import (
	"os"
	"path/filepath"
	"strings"
)

const (
	// variable has the directories that systemd made for a unit, separated by colons
	// (systemd.exec(5)).
	variable = "STATE_DIRECTORY"
	// lasting is the state directory of the network namespace of process 1.
	lasting = "/var/lib/pbr"
	// namesDir has a file for each network namespace with a name (ip-netns(8)).
	namesDir = "/run/netns"
	// fallbackName is the directory in /run of a namespace without a lasting one.
	fallbackName = "state"
)

// Find returns the state directory of the network namespace that the calling thread is in. runDir
// is the namespace's directory in /run (kernel.Kernel.Dir). It needs no privilege and makes
// nothing.
func Find(runDir string) Dir {
	return find(place{
		variable: os.Getenv(variable), lasting: lasting, names: namesDir, runDir: runDir,
		first: sameFile("/proc/1/net/dev", "/proc/thread-self/net/dev"), own: "/proc/thread-self/ns/net",
	})
}

// place is what Find looks at.
type place struct {
	variable, lasting, names, runDir string
	// first reports that this is the network namespace of process 1. Unlike that of /proc/1/ns/net,
	// the identity of /proc/1/net/dev is for everybody to see.
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
		temporary: "this network namespace has no name in " + p.names + ", so pbr keeps no state for it over a restart of the machine",
	}
}

// nameOf returns the first name of a network namespace, "" if it has none.
func nameOf(namespace, names string) string {
	entries, err := os.ReadDir(names) // sorted
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if sameFile(namespace, filepath.Join(names, e.Name())) {
			return e.Name()
		}
	}
	return ""
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
