package kernel

import (
	"fmt"
	"slices"
)

// EventKind is the kind of an Event.
type EventKind uint8

const (
	// EventHost: links, addresses, or main's default and connected routes changed, or the kernel
	// removed something of ours together with a link. The host facts that a plan was compiled for
	// are out of date.
	EventHost EventKind = iota + 1
	// EventDrift: someone else changed something of ours.
	EventDrift
	// EventOverrun: events were lost. Everything has to be read again.
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
	return fmt.Sprintf("event kind %d", uint8(k))
}

// Event is a change in the network namespace, or a burst of changes of one kind.
type Event struct {
	Kind EventKind
	// What happened, for people: "link eth1 lost its carrier", "ip -4 rule 10010 deleted", and how
	// many more of the burst.
	What string
	// Who caused an EventDrift: "ip (process 4711)", or "" if that is unknown, as when the process
	// has ended.
	Who string
	// Objects are the objects of an EventDrift. An object has the same name in every event. There
	// are up to maxObjects, and OtherObjects for the rest.
	Objects []string
	// TableGone means that the nftables table was deleted.
	TableGone bool
}

// OtherObjects stands for the objects of an Event beyond maxObjects.
const OtherObjects = "others"

// maxObjects limits the objects of an Event.
const maxObjects = 100

// addObjects adds the objects of another event.
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
