// Package slab allocates short slices together: a large policy has hundreds of thousands, and one
// allocation each costs more than what they hold.
package slab

// Least and most are how many elements are allocated at once: few for a short policy, and each time
// twice as many.
const least, most = 32, 512

// Of hands out short slices of one kind from long ones. The zero value is ready.
type Of[T any] struct {
	free []T
	// size is how many elements were allocated at once last.
	size int
}

// Take returns an empty slice with room for n elements; nil for none.
func (s *Of[T]) Take(n int) []T {
	if n == 0 {
		return nil
	}
	if n > most/4 {
		return make([]T, 0, n)
	}
	if n > len(s.free) {
		s.size = min(max(least, 2*s.size, n), most)
		s.free = make([]T, s.size)
	}
	out := s.free[:0:n]
	s.free = s.free[n:]
	return out
}

// Keep returns a copy of a slice; nil of an empty one.
func (s *Of[T]) Keep(list []T) []T { return append(s.Take(len(list)), list...) }
