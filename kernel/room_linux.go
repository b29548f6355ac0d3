package kernel

import (
	"errors"
	"fmt"
	"os"
)

const (
	// roomFile is written to see whether there is room for a journal, of roomSize bytes: more than
	// that of a large policy has.
	roomFile = "room"
	roomSize = 256 << 10
)

// Room tells why the journal could not be written now; nil if it could.
func (k *Kernel) Room() error {
	file := k.path(roomFile)
	err := os.WriteFile(file, make([]byte, roomSize), 0o600)
	if err = errors.Join(err, os.Remove(file)); err != nil {
		return fmt.Errorf("looking for room in %s: %w", k.dir, err)
	}
	return nil
}
