package kernel

import (
	"errors"
	"fmt"
	"os"
)

const (
	// roomFile is written to test for space for a journal of roomSize bytes, more than a large
	// policy needs.
	roomFile = "room"
	roomSize = 256 << 10
)

// Room returns why the journal could not be written now; nil if it could.
func (k *Kernel) Room() error {
	file := k.path(roomFile)
	err := os.WriteFile(file, make([]byte, roomSize), 0o600)
	if err = errors.Join(err, os.Remove(file)); err != nil {
		return fmt.Errorf("testing for free space in %s: %w", k.dir, err)
	}
	return nil
}
