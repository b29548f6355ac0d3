// Package state stores what has to outlive a reboot: small files, in one directory per network
// namespace.
//
// The directory is the one that systemd gives a unit (StateDirectory=), otherwise /var/lib/pbr for
// the network namespace of process 1, and /var/lib/pbr/netns/NAME for one that has a name in
// /run/netns (ip-netns(8)). No other namespace can be recognized after a reboot: its files are
// stored beside its lock in /run, and Lasting reports that.
//
// Directories have mode 0700 and files 0600. A file is replaced as a whole or stays as it was. A
// file that is damaged anyway, by a full or broken disk, is reported as a *DamagedError, and counts
// as missing.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	// TempSuffix is appended to the name of a file that is being written.
	TempSuffix = ".new"
)

// Dir is a state directory. It may not exist yet: Save creates it. A file has one writer at a time:
// callers hold the namespace's lock, or are the running watch.
type Dir struct {
	path string
	// temporary is why the directory does not outlive a reboot, "" if it does.
	temporary string
}

// Path returns the directory's path, or that of a file in it.
func (d Dir) Path(name ...string) string { return filepath.Join(append([]string{d.path}, name...)...) }

// Lasting reports whether the directory outlives a reboot.
func (d Dir) Lasting() bool { return d.temporary == "" }

// Temporary returns a message for users why the directory does not outlive a reboot; it is empty if
// it does.
func (d Dir) Temporary() string { return d.temporary }

// Sub returns the directory of that name in d.
func (d Dir) Sub(name string) Dir { return Dir{path: d.Path(name), temporary: d.temporary} }

// DamagedError means that a file exists and cannot be read.
type DamagedError struct {
	File string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: the file is damaged and ignored: %v", e.File, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Load reads the JSON file of that name into v. The error is fs.ErrNotExist if there is none, and a
// *DamagedError if Save did not write it; v may hold a part of it then.
func (d Dir) Load(name string, v any) error {
	b, err := os.ReadFile(d.Path(name))
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &DamagedError{File: d.Path(name), Err: err}
	}
	return nil
}

// Save replaces the file of that name with v as JSON, or leaves it as it was.
func (d Dir) Save(name string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = MakeDir(d.path)
	}
	if err == nil {
		err = Replace(d.Path(name), b)
	}
	if err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	return nil
}

// Remove removes the file of that name, including what a killed run left half written. It is no
// error if there is none.
func (d Dir) Remove(name string) error {
	var errs []error
	for _, file := range []string{d.Path(name), d.Path(name) + TempSuffix} {
		if err := remove(file); err != nil {
			errs = append(errs, fmt.Errorf("removing the state: %w", err))
		}
	}
	return errors.Join(errs...)
}

// RemoveAll removes the directory, if there is one. A file system that is read-only says so first.
func (d Dir) RemoveAll() error {
	if _, err := os.Lstat(d.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return Advised(os.RemoveAll(d.path))
}

// remove removes a file, if there is one. A file system that is read-only says so first.
func remove(file string) error {
	err := os.Remove(file)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, gone := os.Lstat(file); errors.Is(gone, fs.ErrNotExist) {
		return nil
	}
	return Advised(err)
}

// MakeDir creates a directory, and its parents, for its owner alone. An existing one that is open
// to others is closed to them.
func MakeDir(path string) error {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return Advised(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() == dirMode {
		return err
	}
	return Advised(os.Chmod(path, dirMode))
}

// Replace replaces a file as a whole, or leaves it as it was. A file has one writer at a time, so a
// single temporary name is enough, and what a killed run left is overwritten.
func Replace(file string, content []byte) error {
	if err := write(file+TempSuffix, content); err != nil {
		_ = os.Remove(file + TempSuffix)
		return Advised(err)
	}
	if err := os.Rename(file+TempSuffix, file); err != nil {
		_ = os.Remove(file + TempSuffix)
		return Advised(err)
	}
	return syncDir(filepath.Dir(file))
}

// write writes a file again, and syncs it to disk.
func write(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	err = f.Chmod(fileMode) // of one that was there
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir syncs a rename to disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
