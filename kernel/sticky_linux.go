package kernel

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// clientBatch is how many clients get their marks in one transaction. It fails as a whole if one of
// them is forgotten meanwhile.
const clientBatch = 512

// moveClients gives the clients that sticky balances remember the new marks of their members, right
// after the new ruleset is in force. A client that opens a connection before that chooses again.
func (r *markMigration) moveClients() error {
	for i := range r.a.want.Ruleset.Sets {
		if s := &r.a.want.Ruleset.Sets[i]; s.Dynamic && s.Map && s.Data == plan.TypeMark {
			if err := r.moveClientsOf(s.Name); err != nil {
				r.a.report.Warnings = append(r.a.report.Warnings, fmt.Sprintf("sticky clients choose again: %v", err))
			}
		}
	}
	return nil
}

func (r *markMigration) moveClientsOf(set string) error {
	clients, err := r.a.nft.Remembered(set)
	if err != nil {
		return err
	}
	var moved []facts.Client
	for _, c := range clients {
		if bits, mask, change := r.After(c.Mark); change && mask == r.Want.Mask && bits != 0 {
			c.Mark = bits
			moved = append(moved, c)
		}
	}
	for batch := range slices.Chunk(moved, clientBatch) {
		err := r.a.nft.MarkClients(set, batch)
		for i := 0; errors.Is(err, unix.ENOENT) && i < len(batch); i++ {
			if one := r.a.nft.MarkClients(set, batch[i:i+1]); one != nil && !errors.Is(one, unix.ENOENT) {
				err = one
			}
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}
