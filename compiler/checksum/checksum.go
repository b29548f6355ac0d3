// Package checksum is the SHA-256 by which texts, lists and inputs are known. The values are
// stored, and shared by all builds.
//
// Go's own package brings ciphers and a random generator with it, 0.15 MB. A small program does
// without where Go has no faster code for the processor than pbr's.
package checksum

// Size is the length of a sum.
const Size = 32
