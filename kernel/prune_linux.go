package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pruneAge is the age from which another network namespace's run may remove an empty state
	// directory: its own run may have just created it.
	pruneAge = time.Minute
	// unusedAge is how long a directory with state must be unused before it is removed, if its
	// namespace is gone as well.
	unusedAge = 24 * time.Hour
)

// pruneStates removes state directories other than own: those with nothing but a lock that nobody
// holds, and those of namespaces that are gone and that were unused for unusedAge.
func pruneStates(own string) {
	stateDir := filepath.Dir(own)
	dirs, err := os.ReadDir(stateDir)
	if err != nil {
		return
	}
	var unused []string
	for _, d := range dirs {
		dir := filepath.Join(stateDir, d.Name())
		info, err := d.Info()
		if err != nil || !info.IsDir() || dir == own || time.Since(info.ModTime()) < pruneAge {
			continue
		}
		ifFree(dir, removeEmptyState)
		if isNamespaceID(d.Name()) && unusedSince(dir) > unusedAge {
			unused = append(unused, dir)
		}
	}
	if len(unused) == 0 {
		return
	}
	inUse, err := namespacesInUse()
	if err != nil {
		return // -- unknown files are not removed
	}
	for _, dir := range unused {
		if !inUse[filepath.Base(dir)] {
			ifFree(dir, func(dir string) { _ = os.RemoveAll(dir) })
		}
	}
}

// ifFree calls remove with a directory's lock held, unless another process has it.
func ifFree(dir string, remove func(string)) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && inPlace(f) {
		remove(dir)
	}
}

// unusedSince returns the time since anything in a directory changed.
func unusedSince(dir string) time.Duration {
	var last time.Time
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return err
	})
	if err != nil {
		return 0 // -- somebody is using it
	}
	return time.Since(last)
}

// isNamespaceID reports whether a name has the form that namespaceID returns.
func isNamespaceID(name string) bool {
	return strings.HasPrefix(name, cookiePrefix) || strings.HasPrefix(name, inodePrefix)
}

// namespacesInUse returns the names, as in namespaceID, of all network namespaces that have a
// thread, an open file or a mount. It misses open files of processes that cannot be inspected. The
// error means that a thread is in a namespace that cannot be named.
func namespacesInUse() (map[string]bool, error) {
	l := namespaces{ids: map[string]bool{}, seen: map[uint64]bool{}, named: map[uint64]bool{}}
	threads, errThreads := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	open, errOpen := filepath.Glob("/proc/[0-9]*/fd/*")
	if err := errors.Join(errThreads, errOpen); err != nil {
		return nil, err
	}
	for _, thread := range threads {
		if err := l.thread(thread); err != nil {
			return nil, err
		}
	}
	open = slices.DeleteFunc(open, func(file string) bool {
		target, err := os.Readlink(file)
		return err != nil || !strings.HasPrefix(target, "net:[")
	})
	for _, file := range append(open, mountedNamespaces()...) {
		if err := l.add(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, thread := range l.hidden {
		if net, err := networkOf(thread); unlessGone(err) != nil || err == nil && !l.named[net] {
			return nil, fmt.Errorf("%s is in a network namespace that cannot be inspected", thread)
		}
	}
	return l.ids, nil
}

// namespaces are the network namespaces found so far.
type namespaces struct {
	ids map[string]bool
	// seen has the inodes of namespaces, by the name that networkOf gives them.
	seen, named map[uint64]bool
	// hidden are threads of processes that cannot be inspected.
	hidden []string
}

// add adds a file's namespace.
func (l *namespaces) add(file string) error {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil || l.seen[st.Ino] {
		return unlessGone(err)
	}
	id, err := namespaceIDOf(file)
	if err != nil {
		return unlessGone(err)
	}
	l.seen[st.Ino], l.ids[id] = true, true
	return nil
}

// thread adds a thread's namespace.
func (l *namespaces) thread(dir string) error {
	var st unix.Stat_t
	err := unix.Stat(filepath.Join(dir, "ns/net"), &st)
	switch {
	case errors.Is(err, fs.ErrPermission):
		l.hidden = append(l.hidden, dir)
		return nil
	case err != nil || l.seen[st.Ino]:
		return unlessGone(err)
	}
	if net, err := networkOf(dir); err == nil {
		l.named[net] = true
	}
	return l.add(filepath.Join(dir, "ns/net"))
}

// networkOf identifies a thread's network namespace in a way that needs no privilege.
func networkOf(thread string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat(filepath.Join(thread, "net/dev"), &st)
	return st.Ino, err
}

// unlessGone returns an error, unless it means that a process has ended meanwhile.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// mountedNamespaces returns the files on which network namespaces are mounted, in every mount
// namespace that a process is in.
func mountedNamespaces() (files []string) {
	seen := map[string]bool{}
	lists, _ := filepath.Glob("/proc/[0-9]*/mountinfo") // -- the pattern is valid
	for _, list := range lists {
		process := filepath.Dir(list)
		space, err := os.Readlink(filepath.Join(process, "ns/mnt"))
		if err != nil || seen[space] {
			continue
		}
		seen[space] = true
		text, _ := os.ReadFile(list)
		for line := range strings.Lines(string(text)) {
			// 101 25 0:4 net:[4026532201] /run/netns/x rw shared:51 - nsfs nsfs rw
			// (proc_pid_mountinfo(5))
			if w := strings.Fields(line); len(w) > 4 && strings.HasPrefix(w[3], "net:[") {
				files = append(files, filepath.Join(process, "root", w[4]))
			}
		}
	}
	return files
}

// namespaceIDOf returns the namespaceID of a file's network namespace.
func namespaceIDOf(file string) (id string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	apart(func() {
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err == nil {
			id, err = namespaceID()
		}
	})
	return id, err
}
