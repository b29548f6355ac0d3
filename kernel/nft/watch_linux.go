package nft

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/netevents"
)

// Watcher reads what the kernel tells of others' transactions that change the table.
type Watcher struct {
	events *netevents.Listener
	// Filled, if set, reports whether others may fill a set: its elements are then not told of.
	Filled func(set string) bool
	// counts has, of the transaction being told of, how many objects of each kind were added and
	// deleted.
	counts map[counted]int
	// names are the objects of that transaction.
	names map[string]bool
}

// counted is a kind of object, and whether it was added or deleted.
type counted struct {
	kind    int
	deleted bool
}

// Watch begins to watch the table in c's network namespace, from now on. What c itself does is not
// told of. It has to be called as all of c's methods; the Watcher then is independent of c. What
// others do is not told of either.
func (c *Conn) Watch(others ...*Conn) (*Watcher, error) {
	var own []uint32
	for _, conn := range append(others, c) {
		own = append(own, conn.link.Port())
	}
	events, err := netevents.Listen(unix.NETLINK_NETFILTER, own, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return nil, fmt.Errorf("watching nftables: %w", err)
	}
	return &Watcher{events: events, counts: map[counted]int{}, names: map[string]bool{}}, nil
}

// Close makes Next, one that waits too, return os.ErrClosed.
func (w *Watcher) Close() error { return w.events.Close() }

// Next waits for changes and returns them, at times none; after an error other than os.ErrClosed it
// can be called again.
func (w *Watcher) Next() ([]Change, error) {
	msgs, err := w.events.Receive()
	if err != nil {
		w.forget()
		return nil, fmt.Errorf("reading events of nftables: %w", err)
	}
	var out []Change
	for _, m := range msgs {
		if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < nfgenLen {
			continue
		}
		typ, attrs := int(m.Header.Type&0xff), m.Data[nfgenLen:]
		if typ != unix.NFT_MSG_NEWGEN {
			w.count(typ, m.Data[0], attrs)
			continue
		}
		if len(w.counts) > 0 {
			out = append(out, Change{
				Text: "table inet " + plan.TableName + ": " + w.summary(), Objects: slices.Sorted(maps.Keys(w.names)),
				TableGone: w.counts[counted{tableKind, true}] > 0,
				Task:      int(number(attr(attrs, unix.NFTA_GEN_PROC_PID))), Name: text(attr(attrs, unix.NFTA_GEN_PROC_NAME)),
			})
			w.forget()
		}
	}
	return out, nil
}

// tableAttr is the attribute with the table's name in all of these messages (NFTA_*_TABLE,
// linux/netfilter/nf_tables.h).
const tableAttr = unix.NFTA_TABLE_NAME

// count notes one object of a transaction, if it is of the table.
func (w *Watcher) count(typ int, family byte, attrs []byte) {
	if family != familyInet || text(attr(attrs, tableAttr)) != plan.TableName {
		return
	}
	if name := text(attr(attrs, unix.NFTA_CHAIN_NAME)); (typ == unix.NFT_MSG_NEWCHAIN ||
		typ == unix.NFT_MSG_DELCHAIN) && isTraceChain(name) {
		return // of pbr trace; what is left of one is found by reading
	}
	if name := text(attr(attrs, unix.NFTA_RULE_CHAIN)); (typ == unix.NFT_MSG_NEWRULE || typ == unix.NFT_MSG_DELRULE) && isTraceChain(name) {
		return
	}
	if w.Filled != nil && isElement(typ) && w.Filled(text(attr(attrs, unix.NFTA_SET_ELEM_LIST_SET))) {
		return
	}
	for kind, k := range objectKinds {
		switch typ {
		case k.added:
			w.counts[counted{kind, false}]++
		case k.deleted, k.destroyed:
			w.counts[counted{kind, true}]++
		default:
			continue
		}
		if k.owner != "" {
			w.names[k.owner+" "+text(attr(attrs, k.ownerName))] = true
		}
	}
}

func isElement(typ int) bool {
	return typ == unix.NFT_MSG_NEWSETELEM || typ == unix.NFT_MSG_DELSETELEM || typ == nftDestroyElement
}

// forget begins another transaction.
func (w *Watcher) forget() {
	clear(w.counts)
	clear(w.names)
}

// tableKind is the table's place in objectKinds.
const tableKind = 0

// The messages that the Go constants lack (linux/netfilter/nf_tables.h, from 6.3 on).
const (
	nftDestroyTable = 26 + iota
	nftDestroyChain
	nftDestroyRule
	nftDestroySet
	nftDestroyElement
	nftDestroyObject
	nftDestroyFlowtable
)

// objectKinds are the kinds of objects with the messages about them.
var objectKinds = [...]struct {
	name                      string
	added, deleted, destroyed int
	// owner is the kind of object that it is a part of, or itself, and ownerName the attribute with
	// that one's name.
	owner     string
	ownerName uint16
}{
	{"table", unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, nftDestroyTable, "", 0},
	{"chain", unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN, nftDestroyChain, "chain", unix.NFTA_CHAIN_NAME},
	{"rule", unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE, nftDestroyRule, "chain", unix.NFTA_RULE_CHAIN},
	{"set", unix.NFT_MSG_NEWSET, unix.NFT_MSG_DELSET, nftDestroySet, "set", unix.NFTA_SET_NAME},
	{"element", unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM, nftDestroyElement, "set", unix.NFTA_SET_ELEM_LIST_SET},
	{"object", unix.NFT_MSG_NEWOBJ, unix.NFT_MSG_DELOBJ, nftDestroyObject, "object", unix.NFTA_OBJ_NAME},
	{"flowtable", unix.NFT_MSG_NEWFLOWTABLE, unix.NFT_MSG_DELFLOWTABLE, nftDestroyFlowtable, "flowtable", flowtableName},
}

// summary puts the counts into words.
func (w *Watcher) summary() string {
	var parts []string
	for _, deleted := range []bool{true, false} {
		for kind, k := range objectKinds {
			n := w.counts[counted{kind, deleted}]
			if n == 0 {
				continue
			}
			word, verb := k.name, "added"
			if n > 1 {
				word += "s"
			}
			if deleted {
				verb = "deleted"
			}
			parts = append(parts, fmt.Sprintf("%d %s %s", n, word, verb))
		}
	}
	return strings.Join(parts, ", ")
}
