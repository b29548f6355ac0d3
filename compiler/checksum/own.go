//go:build small && !(386 || amd64 || arm64 || loong64 || ppc64 || ppc64le || riscv64 || s390x)

package checksum

import (
	"hash"

	"pbr/compiler/checksum/sha256"
)

// New returns a hash that gives the sum of all that is written to it.
func New() hash.Hash { return sha256.New() }

// Of returns the sum of a text.
func Of(text []byte) (sum [Size]byte) {
	h := sha256.New()
	_, _ = h.Write(text) // never fails
	h.Sum(sum[:0])
	return sum
}
