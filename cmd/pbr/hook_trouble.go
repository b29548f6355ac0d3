package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// codeHook is the code of the warnings of a hook.
const codeHook = "hook"

// codeNotify is the code of the warnings of a policy file with secrets that others may read.
const codeNotify = "notify-secrets"

// trouble is what is wrong with a file, and the command that repairs it, empty where there is none.
type trouble struct{ text, do string }

// hookTrouble returns what is wrong with a hook on this machine: it cannot be run, or others than
// root can change what root would run. nil means nothing.
func hookTrouble(path string) *trouble { return hookTroubleBelow("/", path) }

// hookTroubleBelow is hookTrouble, but takes what is above a directory to be safe.
func hookTroubleBelow(top, path string) *trouble {
	if t := notRunnable(path); t != nil {
		return t
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	for at := path; ; at = filepath.Dir(at) {
		if t := openToOthers(at); t != nil || at == top || at == filepath.Dir(at) {
			return t
		}
	}
}

// notRunnable returns why a file cannot be run.
func notRunnable(path string) *trouble {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &trouble{"no such file", ""}
	case err != nil:
		return &trouble{err.Error(), ""}
	case !info.Mode().IsRegular():
		return &trouble{"it is not a regular file", ""}
	case unix.Access(path, unix.X_OK) != nil:
		return &trouble{"it is not executable", "chmod +x " + path}
	}
	return nil
}

// openToOthers returns why others than root could change a file, or replace one in a directory. In
// a directory with the sticky bit nobody can replace other users' files.
func openToOthers(path string) *trouble {
	info, err := os.Stat(path)
	if err != nil {
		return &trouble{err.Error(), ""}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	writable := info.Mode().Perm()&0o002 != 0 || info.Mode().Perm()&0o020 != 0 && (!ok || st.Gid != 0)
	switch {
	case ok && st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return &trouble{fmt.Sprintf("user %d owns %s and may change it, and pbr watch runs it as root", st.Uid, path), "chown root " + path}
	case writable && !(info.IsDir() && info.Mode()&fs.ModeSticky != 0):
		return &trouble{fmt.Sprintf("others may write to %s, and pbr watch runs it as root", path), "chmod go-w " + path}
	}
	return nil
}

// checkHook returns a warning about a policy's hook if it does not work, or is a danger, on this
// machine. Machines without the uplinks' interfaces cannot judge it.
func checkHook(doc *policy.Document, live bool) policy.Diagnostics {
	path := doc.Watch.Hook
	if path == "" || !live && !hasInterfaces(doc) {
		return nil
	}
	t := hookTrouble(path)
	if t == nil {
		return nil
	}
	return policy.Diagnostics{{Pos: doc.Watch.Pos, Severity: policy.Warning, Code: codeHook, Key: "watch.hook",
		Hint: t.do, Message: "hook " + path + ": " + t.text}}
}

// hasInterfaces reports whether this machine has the interfaces of all uplinks.
func hasInterfaces(doc *policy.Document) bool {
	for i := range doc.Uplinks {
		if _, err := net.InterfaceByName(doc.Uplinks[i].Interface); err != nil {
			return false
		}
	}
	return len(doc.Uplinks) > 0
}

// hookFact returns what doctor needs to know of a policy's hook; nil if it has none.
func hookFact(doc *policy.Document) *facts.EventHook {
	path := doc.Watch.Hook
	if path == "" {
		return nil
	}
	f := &facts.EventHook{Path: path}
	if t := hookTrouble(path); t != nil {
		f.Trouble, f.Do = t.text, t.do
	}
	return f
}
