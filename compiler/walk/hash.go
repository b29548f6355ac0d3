package walk

import (
	"encoding/binary"
	"math/bits"

	"pbr/compiler/plan"
)

// jhashInitval is JHASH_INITVAL (linux/jhash.h).
const jhashInitval = 0xdeadbeef

// hash is what "jhash ... mod" gives: the hash of the fields as the packet has them, scaled to
// 0..Mod-1.
func (w *Walker) hash(a *action) uint32 {
	var room [64]byte
	data := room[:0]
	for i, f := range a.fields {
		k := w.fields[i].key()
		size := 4 * f.Type().Words()
		if len(a.fields) == 1 {
			size = f.Type().Width() // a single field is not padded
		}
		data = append(data, k[:size]...)
	}
	return uint32(uint64(jhash(data, a.plan.(plan.HashVMap).Seed)) * uint64(a.mod) >> 32) // reciprocal_scale (linux/kernel.h)
}

// jhash is the kernel's hash of bytes (Jenkins' lookup3, linux/jhash.h).
func jhash(key []byte, seed uint32) uint32 {
	a := jhashInitval + uint32(len(key)) + seed
	b, c := a, a
	for len(key) > 12 {
		a += binary.NativeEndian.Uint32(key)
		b += binary.NativeEndian.Uint32(key[4:])
		c += binary.NativeEndian.Uint32(key[8:])
		a, b, c = jhashMix(a, b, c)
		key = key[12:]
	}
	if len(key) == 0 {
		return c
	}
	var rest [12]byte
	copy(rest[:], key)
	a += binary.LittleEndian.Uint32(rest[:])
	b += binary.LittleEndian.Uint32(rest[4:])
	c += binary.LittleEndian.Uint32(rest[8:])
	return jhashFinal(a, b, c)
}

func jhashMix(a, b, c uint32) (x, y, z uint32) {
	rot := bits.RotateLeft32
	a, c = (a-c)^rot(c, 4), c+b
	b, a = (b-a)^rot(a, 6), a+c
	c, b = (c-b)^rot(b, 8), b+a
	a, c = (a-c)^rot(c, 16), c+b
	b, a = (b-a)^rot(a, 19), a+c
	c, b = (c-b)^rot(b, 4), b+a
	return a, b, c
}

func jhashFinal(a, b, c uint32) uint32 {
	rot := bits.RotateLeft32
	c = (c ^ b) - rot(b, 14)
	a = (a ^ c) - rot(c, 11)
	b = (b ^ a) - rot(a, 25)
	c = (c ^ b) - rot(b, 16)
	a = (a ^ c) - rot(c, 4)
	b = (b ^ a) - rot(a, 14)
	return (c ^ b) - rot(b, 24)
}
