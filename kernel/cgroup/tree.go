// Package cgroup finds control groups (cgroup v2) by path and by unit, and reports when they appear
// or disappear.
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

// mountInfo lists the mounts (proc_pid_mountinfo(5)).
const mountInfo = "/proc/self/mountinfo"

// Root returns where the cgroup v2 tree is mounted for this process, alone or beside version 1;
// empty if it is not mounted.
func Root() string {
	f, err := os.Open(mountInfo)
	if err != nil {
		return ""
	}
	defer f.Close()
	return rootIn(f, isTree)
}

// rootIn finds the tree in a list of mounts: the last mount of the whole tree that no later mount
// hides.
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

// unescape decodes names in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Find returns the inode numbers of the control groups of each set, sorted. root is as Root returns
// it. A set whose groups do not exist has none.
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

// walk calls do for every directory below another one, down to depth.
func walk(dir string, depth int, do func(dir string)) {
	if depth == 0 {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // -- it disappeared
	}
	for _, e := range entries {
		if e.IsDir() {
			sub := filepath.Join(dir, e.Name())
			do(sub)
			walk(sub, depth-1, do)
		}
	}
}
