package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// ErrOtherForm means that a run-time set holds ranges, and was taken for one of single addresses,
// or the other way around: it was recreated. A beginning without an end, in a set of ranges, would
// reach up to the next member. It wraps unix.EINVAL.
var ErrOtherForm = fmt.Errorf("the set was recreated in another form: %w", unix.EINVAL)

// forms tells which of the table's sets hold ranges, as it was at a generation from which on
// nothing but members changed.
type forms struct {
	from     uint32
	interval map[string]bool
}

// sameForm fails if a set that is edited is not of the form that the edit is for. What was read
// once counts until something else than members changes.
func (c *Conn) sameForm(edits []Edit, from uint32) error {
	if c.forms.interval == nil || c.forms.from != from || from == 0 {
		c.forms = forms{from, map[string]bool{}}
		err := c.dump(unix.NFT_MSG_GETSET, familyInet, inTable(), func(raw []byte) error {
			if text(attr(raw, unix.NFTA_SET_TABLE)) == plan.TableName {
				c.forms.interval[text(attr(raw, unix.NFTA_SET_NAME))] = number(attr(raw, unix.NFTA_SET_FLAGS))&unix.NFT_SET_INTERVAL != 0
			}
			return nil
		})
		if err != nil {
			c.forms.interval = nil
			if errors.Is(err, unix.ENOENT) || errors.Is(err, errDumpInterrupted) {
				return ErrChanged
			}
			return fmt.Errorf("listing sets: %w", err)
		}
	}
	for _, e := range edits {
		if interval, there := c.forms.interval[e.Set.Name]; there && interval != e.Set.Interval {
			return fmt.Errorf("set %s: %w", e.Set.Name, ErrOtherForm)
		}
	}
	return nil
}
