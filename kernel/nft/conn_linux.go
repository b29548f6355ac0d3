package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// Conn is a connection to the nftables of the network namespace that it was opened in. It is
// not safe for concurrent use.
type Conn struct {
	*socket
	// big is from how many elements on a set is not listed if there is a guess, see bigSet.
	big int
	// Ledger, if set, knows which generations differ by members of run-time sets alone.
	Ledger *Ledger
	// staged are sets that were made and that are not the table's yet, by their names in the
	// kernel.
	staged map[string]*Staged
	// Seeds, if set, has the members of run-time sets that Apply makes where there were none.
	Seeds Seeds
	// forms are those of the sets whose members are edited.
	forms forms
}

// Open connects to the nftables of the current thread's network namespace.
func Open() (*Conn, error) {
	s, err := openSocket()
	if err != nil {
		return nil, err
	}
	return &Conn{socket: s, big: bigSet}, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.link.Close() }

// Generation is the number of the namespace's nftables state: it grows with each transaction that
// changes anything in any table, and not by what packets change.
func (c *Conn) Generation() (uint32, error) {
	var generation uint32
	err := c.ask(unix.NFT_MSG_GETGEN, unix.AF_UNSPEC, func(attrs []byte) {
		generation = number(attr(attrs, unix.NFTA_GEN_ID))
	})
	if err != nil {
		return 0, fmt.Errorf("reading the nftables generation: %w", err)
	}
	return generation, nil
}

// Delete removes the table, whatever it holds; that there is none is fine.
func (c *Conn) Delete() error {
	for range deleteTries {
		generation, err := c.Generation()
		if err != nil {
			return err
		}
		live, err := c.tableExists()
		if err != nil || !live {
			return err
		}
		b := newBatch(generation)
		b.deleteNamed(unix.NFT_MSG_DELTABLE, "table inet", unix.NFTA_TABLE_NAME, plan.TableName, false)
		if _, err := c.commit(b); !errors.Is(err, ErrChanged) {
			return err
		}
	}
	return fmt.Errorf("deleting table inet %s: %w at each of %d attempts", plan.TableName, ErrChanged, deleteTries)
}

// deleteTries is how often a deletion is tried again because others change nftables at the same
// time.
const deleteTries = 10

func (c *Conn) tableExists() (bool, error) {
	found := false
	err := c.dump(unix.NFT_MSG_GETTABLE, familyInet, nil, func(raw []byte) error {
		found = found || text(attr(raw, unix.NFTA_TABLE_NAME)) == plan.TableName
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("listing tables: %w", err)
	}
	return found, nil
}
