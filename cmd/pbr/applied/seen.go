package applied

import (
	"encoding/hex"
	"errors"
	"io"
	"os"

	"pbr/compiler/checksum"
)

// Seen is a file that was examined while a policy was parsed.
type Seen struct {
	// Name is absolute.
	Name string `json:"name"`
	// Sum is that of its text, empty if there was none to read.
	Sum string `json:"sum,omitempty"`
}

// sumOf is the sum of a text.
func sumOf(text []byte) string {
	sum := checksum.Of(text)
	return hex.EncodeToString(sum[:])
}

// errIrregular means that a file is none that can be read again.
var errIrregular = errors.New("not a regular file")

// Look looks at a file again. Like for a list, what is not a regular file has no text.
func Look(name string) Seen {
	sum, err := sumFile(name)
	if err != nil {
		return Seen{Name: name}
	}
	return Seen{Name: name, Sum: sum}
}

// sumFile reads a file piece by piece: long lists need not be in memory for it.
func sumFile(name string) (string, error) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = errIrregular
	}
	if err != nil {
		return "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := checksum.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 256<<10)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Reread returns a policy that was read before and whose files are as they were, for what is said
// of it. It cannot be applied.
func Reread(name, path string, seen []Seen) *Policy {
	p := &Policy{Name: name, Path: path, main: path, files: map[string][]byte{}}
	for _, file := range seen {
		if text, err := os.ReadFile(file.Name); file.Sum != "" && err == nil {
			p.files[file.Name] = text
		}
	}
	return p
}
