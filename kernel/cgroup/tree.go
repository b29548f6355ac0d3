// Package cgroup finds control groups (cgroup v2) by path and by unit, and tells when they come and
// go.
package cgroup

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pbr/compiler/plan"
)

// mountInfo is where the kernel tells of mounts (proc_pid_mountinfo(5)).
const mountInfo = "/proc/self/mountinfo"

// Root is where the tree of cgroup v2 is mounted for this process, alone or beside version 1; empty
// if it is not.
func Root() string {
	f, err := os.Open(mountInfo)
	if err != nil {
		return ""
	}
	defer f.Close()
	return rootIn(f, isTree)
}

// rootIn finds the tree in a list of mounts: the last mount of all of it that no later one hides.
func rootIn(r io.Reader, seen func(dir string) bool) (root string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if ok && len(fields) > 4 && len(kind) > 0 && kind[0] == "cgroup2" && fields[3] == "/" {
			if dir := unescape.Replace(fields[4]); seen(dir) {
				root = dir
			}
		}
	}
	return root
}

// unescape undoes how the kernel writes names in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Find returns the inode numbers of the control groups of each set, sorted. The root is that of
// Root; without one, or where nothing is there, a set has none.
func Find(root string, sources []plan.CgroupSource, depth int) map[string][]uint64 {
	out := make(map[string][]uint64, len(sources))
	units := map[string][]string{}
	for _, s := range sources {
		out[s.Set] = nil
		switch {
		case root == "":
		case s.Unit:
			units[s.Name] = append(units[s.Name], s.Set)
		default:
			if n, ok := inode(filepath.Join(root, s.Name)); ok {
				out[s.Set] = append(out[s.Set], n)
			}
		}
	}
	if len(units) > 0 {
		walk(root, depth, func(dir string) {
			for _, set := range units[filepath.Base(dir)] {
				if n, ok := inode(dir); ok {
					out[set] = append(out[set], n)
				}
			}
		})
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}

// walk calls do for every directory below another one, as far down as depth.
func walk(dir string, depth int, do func(dir string)) {
	if depth == 0 {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it went away
	}
	for _, e := range entries {
		if e.IsDir() {
			sub := filepath.Join(dir, e.Name())
			do(sub)
			walk(sub, depth-1, do)
		}
	}
}
