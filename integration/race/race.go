// Package race says whether tests run with the race detector, which makes computing five to ten
// times as slow: tests that compute the same for very many cases take fewer of them there.
package race

// share is how many of the cases are left, one of so many.
const share = 4

// Cases returns how many of n random or repeated cases to test: all of them, or with the race
// detector a share. What they are compared with stays the same.
func Cases(n int) int {
	if Enabled {
		return max(1, n/share)
	}
	return n
}
