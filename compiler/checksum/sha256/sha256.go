// Package sha256 is SHA-256 (FIPS 180-4) without anything that protects a secret.
package sha256

import (
	"encoding/binary"
	"hash"
	"math/bits"
)

const (
	size      = 32
	blockSize = 64
	lengthEnd = blockSize - 8 // the length of the text is at the end of its last block
)

// digest is the state after the whole blocks of a text, and what follows them.
type digest struct {
	state  [8]uint32
	rest   [blockSize]byte
	length uint64
}

// New returns a hash that gives the SHA-256 of all that is written to it.
func New() hash.Hash {
	d := &digest{}
	d.Reset()
	return d
}

// Reset implements hash.Hash.
func (d *digest) Reset() { *d = digest{state: initial} }

// Size implements hash.Hash.
func (d *digest) Size() int { return size }

// BlockSize implements hash.Hash.
func (d *digest) BlockSize() int { return blockSize }

// Write implements hash.Hash.
func (d *digest) Write(text []byte) (int, error) {
	all := len(text)
	if used := int(d.length % blockSize); used > 0 {
		n := copy(d.rest[used:], text)
		if text = text[n:]; used+n == blockSize {
			d.blocks(d.rest[:])
		}
	}
	whole := len(text) - len(text)%blockSize
	d.blocks(text[:whole])
	copy(d.rest[:], text[whole:])
	d.length += uint64(all)
	return all, nil
}

// Sum implements hash.Hash: it appends the sum of what was written so far.
func (d *digest) Sum(b []byte) []byte {
	end := *d
	used := int(d.length % blockSize)
	padding := lengthEnd - used
	if padding <= 0 {
		padding += blockSize
	}
	last := make([]byte, padding, padding+8)
	last[0] = 0x80
	_, _ = end.Write(binary.BigEndian.AppendUint64(last, d.length*8)) // never fails
	for _, word := range end.state {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return b
}

// blocks takes in whole blocks (FIPS 180-4, 6.2.2).
func (d *digest) blocks(text []byte) {
	var w [64]uint32
	s := d.state
	for ; len(text) >= blockSize; text = text[blockSize:] {
		for i := range 16 {
			w[i] = binary.BigEndian.Uint32(text[i*4:])
		}
		for i := 16; i < 64; i++ {
			x, y := w[i-15], w[i-2]
			w[i] = w[i-16] + w[i-7] +
				(bits.RotateLeft32(x, -7) ^ bits.RotateLeft32(x, -18) ^ x>>3) +
				(bits.RotateLeft32(y, -17) ^ bits.RotateLeft32(y, -19) ^ y>>10)
		}
		a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		for i := range 64 {
			x := h + (bits.RotateLeft32(e, -6) ^ bits.RotateLeft32(e, -11) ^ bits.RotateLeft32(e, -25)) +
				(e&f ^ ^e&g) + constants[i] + w[i]
			y := (bits.RotateLeft32(a, -2) ^ bits.RotateLeft32(a, -13) ^ bits.RotateLeft32(a, -22)) + (a&b ^ a&c ^ b&c)
			a, b, c, d, e, f, g, h = x+y, a, b, c, d+x, e, f, g
		}
		for i, v := range [...]uint32{a, b, c, d, e, f, g, h} {
			s[i] += v
		}
	}
	d.state = s
}

// initial and constants are the first bits of the fractions of the first primes' square and cube
// roots (FIPS 180-4, 4.2.2 and 5.3.3).
var (
	initial = [8]uint32{
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	}
	constants = [64]uint32{
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
		0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
		0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
		0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
		0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	}
)
