package plan

// PinnedMark returns the mark of an uplink's pinned table: that of probes, and of most connections
// pinned to it.
func PinnedMark(numbers []Number, uplink string) uint32 {
	for _, n := range numbers {
		if n.Uplink == uplink && !n.Strict && !n.Fallback {
			return n.Mark
		}
	}
	return 0
}

// PinnedMarks returns the marks of connections pinned to an uplink, and of those that strict
// policies or tables pinned to it.
func PinnedMarks(numbers []Number, uplink string) (pinned, strict []uint32) {
	for _, n := range numbers {
		switch {
		case n.Uplink != uplink:
		case n.Strict:
			strict = append(strict, n.Mark)
		default:
			pinned = append(pinned, n.Mark)
		}
	}
	return pinned, strict
}
