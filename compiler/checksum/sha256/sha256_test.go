package sha256

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"math/rand/v2"
	"testing"
)

// The sums are those of Go's package, of texts of every length around the ends of blocks, however
// they are cut, and asked for in between.
func TestSums(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	text := make([]byte, 5*blockSize)
	_, _ = random.Read(text)
	h := New()
	for length := range text {
		h.Reset()
		for rest := text[:length]; len(rest) > 0; {
			n := int(random.Uint64()%uint64(min(len(rest), 2*blockSize))) + 1
			_, _ = h.Write(rest[:n])
			rest = rest[n:]
			done := sha256.Sum256(text[:length-len(rest)])
			if sum := h.Sum([]byte("x")); !bytes.Equal(sum[1:], done[:]) || sum[0] != 'x' {
				t.Fatalf("%d of %d bytes: %x instead of %x", length-len(rest), length, sum[1:], done)
			}
		}
	}
	empty := sha256.Sum256(nil)
	if sum := New().Sum(nil); !bytes.Equal(sum, empty[:]) {
		t.Errorf("no text: %x instead of %x", sum, empty)
	}
	if h.Size() != sha256.Size || h.BlockSize() != sha256.BlockSize {
		t.Errorf("sums of %d bytes from blocks of %d", h.Size(), h.BlockSize())
	}
}

func BenchmarkSums(b *testing.B) {
	text := make([]byte, 1<<20)
	for name, h := range map[string]hash.Hash{"own": New(), "library": sha256.New()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_, _ = h.Write(text)
			}
		})
	}
}
