package kernel

import (
	"fmt"
	"slices"
)

// EventKind tells what a Notice is about.
type EventKind uint8

const (
	// EventHost: links, addresses or main's default and connected routes changed, or the kernel
	// itself took something of ours away with a link. What a plan was compiled for is out of date.
	EventHost EventKind = iota + 1
	// EventDrift: someone else changed something of ours.
	EventDrift
	// EventOverrun: there were more events than could be read. Everything is to be read anew.
	EventOverrun
)

func (k EventKind) String() string {
	switch k {
	case EventHost:
		return "machine"
	case EventDrift:
		return "drift"
	case EventOverrun:
		return "overrun"
	}
	return fmt.Sprintf("notice kind %d", uint8(k))
}

// Event is one thing, or a burst of things of one kind, that happened in the network namespace.
type Event struct {
	Kind EventKind
	// What happened, for people: "link eth1 lost its carrier", "ip -4 rule 10010 deleted", with how
	// many more of the burst.
	What string
	// Who did it, of a EventDrift: "ip (process 4711)", or "" where it cannot be told, as when the
	// process has ended.
	Who string
	// Objects are what a EventDrift is about, each named the same in every notice: up to
	// maxObjects, and OtherObjects for what is more.
	Objects []string
	// TableGone means that the nftables table was deleted.
	TableGone bool
}

// OtherObjects stands for all objects of a Notice that are one too many.
const OtherObjects = "others"

// maxObjects bounds a Notice.
const maxObjects = 100

// addObjects adds those of another notice.
func (n *Event) addObjects(objects []string) {
	for _, o := range objects {
		switch {
		case slices.Contains(n.Objects, o):
		case len(n.Objects) == maxObjects:
			n.Objects = append(n.Objects, OtherObjects)
			return
		case len(n.Objects) < maxObjects:
			n.Objects = append(n.Objects, o)
		}
	}
}
