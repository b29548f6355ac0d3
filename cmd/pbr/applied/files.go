package applied

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// recorder opens files of a file system rooted at "/". It keeps what is read of them by absolute
// name, except for those in the directory of fetched texts, which change by themselves; and of all
// that it is asked for, the sum.
type recorder struct {
	fs.FS
	files   map[string][]byte
	sums    map[string]string
	fetched string
}

// Open implements fs.FS.
func (r recorder) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	if err != nil {
		r.sums["/"+name] = ""
		return nil, err
	}
	return &recorded{File: f, recorder: r, name: name}, nil
}

// Stat implements fs.StatFS: what may not be opened can be examined.
func (r recorder) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(r.FS, name)
	if err != nil || !info.Mode().IsRegular() {
		r.sums["/"+name] = ""
	}
	return info, err
}

// recorded is a file that is being read.
type recorded struct {
	fs.File
	recorder
	name string
	text []byte
}

// Stat implements fs.File.
func (f *recorded) Stat() (fs.FileInfo, error) { return f.File.Stat() }

// Read implements fs.File.
func (f *recorded) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	if f.text == nil {
		f.text = make([]byte, 0, f.size())
	}
	f.text = append(f.text, b[:n]...)
	return n, err
}

// size is how long the file is, as far as that is known.
func (f *recorded) size() int64 {
	const most = 1 << 28 // it is believed for memory only
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return min(info.Size(), most)
}

// Close implements fs.File.
func (f *recorded) Close() error {
	f.sums["/"+f.name] = sumOf(f.text)
	if !isFetched(f.fetched, f.name) {
		f.files["/"+f.name] = f.text
	}
	return f.File.Close()
}

// isFetched reports whether a file is in the directory of fetched texts, an absolute one.
func isFetched(dir, name string) bool {
	return dir != "" && strings.HasPrefix("/"+name, dir+"/")
}

// texts is a file system of what was read, and of the texts that were fetched since.
type texts struct {
	files   map[string][]byte
	fetched string
}

// OneFile returns a file system of one file with that text.
func OneFile(name, text string) fs.FS {
	return texts{files: map[string][]byte{"/" + name: []byte(text)}}
}

// Open implements fs.FS.
func (t texts) Open(name string) (fs.File, error) {
	if isFetched(t.fetched, name) {
		return os.DirFS("/").Open(name)
	}
	text, known := t.files["/"+name]
	if !known {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &textFile{Reader: bytes.NewReader(text), name: path.Base(name), size: int64(len(text))}, nil
}

// textFile is an open file of texts, and what there is to know of it.
type textFile struct {
	*bytes.Reader
	name string
	size int64
}

func (f *textFile) Stat() (fs.FileInfo, error) { return textInfo{f}, nil }

// Close implements fs.File.
func (f *textFile) Close() error { return nil }

type textInfo struct{ f *textFile }

func (i textInfo) Name() string       { return i.f.name }
func (i textInfo) Size() int64        { return i.f.size }
func (i textInfo) Mode() fs.FileMode  { return 0o400 }
func (i textInfo) ModTime() time.Time { return time.Time{} }
func (i textInfo) IsDir() bool        { return false }
func (i textInfo) Sys() any           { return nil }
