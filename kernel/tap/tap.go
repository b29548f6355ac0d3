// Package tap takes DNS answers from packets on their way, by NFQUEUE, or copies of them, by NFLOG.
package tap

import "errors"

// ErrTaken means that another program has bound the queue or log group.
var ErrTaken = errors.New("another program has bound it")

// QueueLength is how many packets may wait in the queue. The kernel gives a socket that sends
// answers room for about 256 of them: with a longer queue a resolver would block before the queue
// is full and lets packets pass.
const QueueLength = 200

// Packet is one that waits for Accept, or a copy of one.
type Packet struct {
	// ID numbers the packets that wait, in their order.
	ID uint32
	// Hook is where it is: NF_INET_LOCAL_IN 1, FORWARD 2, LOCAL_OUT 3 (linux/netfilter.h).
	Hook uint8
	// Data is the packet from its IP header on, valid during the call.
	Data []byte
}

// HookOutput is the Hook of packets that the machine itself sends.
const HookOutput = 3
