package layers

import "math/bits"

// nanoseconds is a cost. It has 64 bits on every machine, so that sums of what never pays do not
// overflow.
type nanoseconds int64

// What a step costs a packet, in nanoseconds on a machine of 2.5 us per new connection with NAT
// (Linux 6.18, AMD EPYC guest). Only their ratios matter. Integers, so that every machine chooses
// the same.
const (
	// costRule is a rule that does not match.
	costRule = 40
	// costHash is a look-up by an exact key, whatever the size.
	costHash = 150
	// costTree is a look-up of an interval of one field, for each halving of the elements.
	costTree = 60
	// costRanges is a look-up of intervals of several fields; in addition costRangeByte for each
	// byte of the key, and costRangeEntry, in thousandths, for each byte and element: the kernel
	// joins a bit per element for each group of bits.
	costRanges     = 200
	costRangeByte  = 10
	costRangeEntry = 7
	// costOfReadable is how much a list may cost that stays one, because people read it: a sixth of
	// a new connection with NAT.
	costOfReadable = 400
	// never is more than anything costs.
	never = nanoseconds(1 << 40)
)

// treeCost is the cost of a look-up among n intervals of one field.
func treeCost(n int) nanoseconds { return costTree * nanoseconds(bits.Len(uint(n))) }

// rangesCost is the cost of a look-up among n intervals in several fields, of so many bytes
// together.
func rangesCost(bytes, n int) nanoseconds {
	width := nanoseconds(bytes)
	return costRanges + costRangeByte*width + costRangeEntry*width*nanoseconds(n)/1000
}
