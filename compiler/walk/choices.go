package walk

// choices enumerates what turn and chance may decide: the same walk is taken again for each
// combination.
type choices struct {
	picked, of []int
	at         int
	// before has what was picked for a map in this walk. A balance that chooses once more because a
	// member cannot be used finds the others, and they are found by walks of their own.
	before map[*set]int
}

// maxWalks bounds the walks of one packet.
const maxWalks = 512

// start begins the next walk.
func (c *choices) start() {
	c.at = 0
	clear(c.before)
}

// pick is one of n.
func (c *choices) pick(n int) int {
	if n < 2 {
		return 0
	}
	if c.at == len(c.picked) {
		c.picked, c.of = append(c.picked, 0), append(c.of, n)
	}
	c.at++
	return c.picked[c.at-1]
}

// again is pick, the same one for the same map.
func (c *choices) again(s *set, n int) int {
	if i, ok := c.before[s]; ok {
		return i
	}
	if c.before == nil {
		c.before = map[*set]int{}
	}
	i := c.pick(n)
	c.before[s] = i
	return i
}

// next goes to another combination; it reports whether there was one.
func (c *choices) next() bool {
	for n := len(c.picked); n > 0; n-- {
		if c.picked[n-1]++; c.picked[n-1] < c.of[n-1] {
			return true
		}
		c.picked, c.of = c.picked[:n-1], c.of[:n-1]
	}
	return false
}
