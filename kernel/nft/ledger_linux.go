package nft

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Ledger knows that generations of nftables differ by nothing but the members of run-time sets that
// pbr changed, so that what was read or applied at an earlier one of them still holds. It is kept
// in a file, for commands beside a running watch. It is safe for concurrent use; a nil one knows
// nothing.
type Ledger struct {
	mu   sync.Mutex
	path string
	// from and to are the first and the last of the generations; to is 0 while nothing is known.
	from, to uint32
}

// NewLedger returns one that is kept in a file, which need not exist. A file that cannot be written
// or read counts as none.
func NewLedger(path string) *Ledger { return &Ledger{path: path} }

// moment is a ledger's state for a moment. Whoever has it may change nftables without another of
// this process doing so in between.
type moment struct{ l *Ledger }

// hold waits for others and reads what they noted. It has to be released.
func (l *Ledger) hold() moment {
	if l == nil {
		return moment{}
	}
	l.mu.Lock()
	b, err := os.ReadFile(l.path)
	if err == nil && len(b) == 12 && binary.NativeEndian.Uint32(b)^binary.NativeEndian.Uint32(b[4:]) == binary.NativeEndian.Uint32(b[8:]) {
		l.from, l.to = binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
	}
	return moment{l}
}

func (s moment) release() {
	if s.l != nil {
		s.l.mu.Unlock()
	}
}

// covers reports whether nothing but members changed from one generation to a later one.
func (s moment) covers(earlier, later uint32) bool {
	l := s.l
	return l != nil && l.to != 0 && int32(earlier-l.from) >= 0 && int32(later-earlier) >= 0 && int32(l.to-later) >= 0
}

// latest is the last generation that differs from one by members alone.
func (s moment) latest(generation uint32) uint32 {
	if s.covers(generation, generation) {
		return s.l.to
	}
	return generation
}

// extend notes that members alone changed up to a generation, begin that something else did.
func (s moment) extend(to uint32) { s.note(0, to) }
func (s moment) begin(at uint32)  { s.note(at, at) }

func (s moment) note(from, to uint32) {
	if s.l == nil {
		return
	}
	if from != 0 {
		s.l.from = from
	}
	s.l.to = to
	var b [12]byte
	binary.NativeEndian.PutUint32(b[:], s.l.from)
	binary.NativeEndian.PutUint32(b[4:], s.l.to)
	binary.NativeEndian.PutUint32(b[8:], s.l.from^s.l.to)
	f, err := os.OpenFile(s.l.path, os.O_WRONLY|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return // the next one to look compares again, which is slower and right
	}
	_, _ = f.WriteAt(b[:], 0)
	_ = f.Close()
}

// memberTries is how often an edit of members is sent again because others change nftables at the
// same time.
const memberTries = 5

// unchecked is for edits that need no check.
func unchecked(uint32) error { return nil }

// editMembers sends a transaction that changes members of run-time sets and nothing else, if a
// check succeeds that is for all generations from the one on that it is given; 0 is for this one
// alone.
func (c *Conn) editMembers(check func(from uint32) error, write func(*batch)) error {
	s := c.Ledger.hold()
	defer s.release()
	for try := 0; ; try++ {
		generation, from := uint32(0), uint32(0) // whatever it is
		if s.l != nil && try < memberTries {
			if s.l.to == 0 || try > 0 {
				now, err := c.Generation()
				if err != nil {
					return err
				}
				s.begin(now)
			}
			generation, from = s.l.to, s.l.from
		}
		switch err := check(from); {
		case errors.Is(err, ErrChanged) && try < memberTries, errors.Is(err, ErrOtherForm) && try == 0 && s.l != nil:
			continue // what was known of the sets may be from before somebody else's change
		case err != nil:
			return err
		}
		b := newBatch(generation)
		write(b)
		if b.empty() {
			return nil
		}
		_, err := c.commit(b)
		if errors.Is(err, ErrChanged) {
			continue
		}
		if err == nil && generation != 0 {
			c.extend(s, generation)
		}
		return err
	}
}

// extend notes an edit that was sent at a generation. One that had no effect, as the kernel ignores
// the addition of a member that is there, makes no generation, and the next one is somebody else's.
func (c *Conn) extend(s moment, generation uint32) {
	if now, err := c.Generation(); err == nil && now != generation {
		s.extend(nextGeneration(generation))
	}
}
