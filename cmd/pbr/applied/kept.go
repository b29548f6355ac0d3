package applied

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// keptPolicy is a Policy in the state directory. Its texts are compressed as they are: what
// MarshalJSON writes, which a command hands to a watch of another version, takes twice as long to
// compress. Earlier versions find no hash in it, and so save their policy again.
type keptPolicy struct {
	Name string `json:"name"`
	Path string `json:"path,omitempty"`
	// Sum is the policy's hash.
	Sum   string `json:"sum"`
	Main  string `json:"main"`
	Texts []byte `json:"texts"`
}

// forKeeping returns what is written of the policy that is kept.
func (p *Policy) forKeeping() (*keptPolicy, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err == nil {
		err = errors.Join(p.writeTexts(z), z.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("packing the policy: %w", err)
	}
	return &keptPolicy{p.Name, p.Path, p.Hash, p.main, packed.Bytes()}, nil
}

// writeTexts writes each file's name and text, and before each of them its length.
func (p *Policy) writeTexts(w io.Writer) error {
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		for _, text := range [][]byte{[]byte(name), p.files[name]} {
			if _, err := w.Write(binary.AppendUvarint(nil, uint64(len(text)))); err != nil {
				return err
			}
			if _, err := w.Write(text); err != nil {
				return err
			}
		}
	}
	return nil
}

// readTexts is the opposite of writeTexts, packed.
func readTexts(packed []byte) (map[string][]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(io.LimitReader(z, maxFiles))
	if err != nil {
		return nil, err
	}
	next := func() (text []byte) {
		length, n := binary.Uvarint(all)
		if n <= 0 || length > uint64(len(all)-n) {
			err, all = io.ErrUnexpectedEOF, nil
			return nil
		}
		text, all = all[n:n+int(length):n+int(length)], all[n+int(length):]
		return text
	}
	files := map[string][]byte{}
	for len(all) > 0 {
		name := next()
		files[string(name)] = next()
	}
	return files, err
}
