package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// maxFile bounds a policy or list file, in bytes: ten million prefixes fit, an endless device does
// not.
const maxFile = 256 << 20

// readFile reads a whole file of at most maxFile bytes.
func readFile(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var text strings.Builder // whose text is not copied
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		text.Grow(int(min(info.Size(), maxFile)))
	}
	n, err := io.Copy(&text, io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if n > maxFile {
		return "", fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	return text.String(), nil
}

var errIrregular = errors.New("not a regular file")

// readHint is what to do about an error of reading; other where nothing more is known.
func readHint(err error, other string) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the user that pbr runs as read it (ls -l shows its owner and mode)"
	case errors.Is(err, errIrregular):
		return "name a file that has the entries; a program can fill a list { dynamic = true } by pbr lists add"
	}
	return other
}

// readRegular is readFile for what may not be a pipe or a device, which could keep the reader for
// ever: not even opening one returns.
func readRegular(fsys fs.FS, name string) (string, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errIrregular
	}
	return readFile(fsys, name)
}
