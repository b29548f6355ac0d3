package main

import (
	"fmt"
	"log/slog"
	"slices"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/own"
)

// longList is from how many entries of a list on the sets of own addresses are left alone. Each
// sign that they are whole makes a listing of nftables that takes longer than from one to the next
// start over: one of such a set never ends.
const longList = 300_000

// ownKeeper keeps the sets of own addresses while the policy in force lets it. What it is told of
// the policy it passes on to Names.
type ownKeeper struct {
	daemon.Names
	keeper *own.Keeper
}

func newOwnKeeper(k *kernel.Kernel, names daemon.Names, log *slog.Logger) (*ownKeeper, error) {
	keeper, err := k.OwnKeeper()
	if err != nil {
		return nil, err
	}
	keeper.Failed = func(err error) {
		log.Warn("own addresses cannot be kept: the kernel is asked for those of each first packet", "error", err)
	}
	return &ownKeeper{names, keeper}, nil
}

// Learn takes a policy over.
func (o *ownKeeper) Learn(doc *policy.Document, host plan.HostFacts) {
	o.keeper.Rest(firstLongList(doc) != "")
	o.Names.Learn(doc, host)
}

// firstLongList is the name of the first list for which the sets are left alone; empty for none.
func firstLongList(doc *policy.Document) string {
	i := slices.IndexFunc(doc.Lists, func(l policy.List) bool { return len(l.Ranges) >= longList })
	if i < 0 {
		return ""
	}
	return doc.Lists[i].Name
}

// ownNote says that the sets are left alone, if they are; else it is empty.
func ownNote(doc *policy.Document) string {
	name := firstLongList(doc)
	if name == "" {
		return ""
	}
	return fmt.Sprintf("own addresses: the kernel is asked for those of each new connection, also while pbr "+
		"watch runs, because list %s has %d entries or more\n", name, longList)
}
