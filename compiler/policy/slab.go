package policy

// slab hands out short slices of one kind from long ones: a policy file has hundreds of thousands,
// and one allocation each costs more than what they hold.
type slab[T any] struct{ free []T }

// slabSize is how many elements are allocated at once.
const slabSize = 512

// take returns an empty slice with room for n elements; nil for none.
func (s *slab[T]) take(n int) []T {
	if n == 0 {
		return nil
	}
	if n > slabSize/4 {
		return make([]T, 0, n)
	}
	if n > len(s.free) {
		s.free = make([]T, slabSize)
	}
	out := s.free[:0:n]
	s.free = s.free[n:]
	return out
}
