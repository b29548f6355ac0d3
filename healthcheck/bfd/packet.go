// Package bfd is Bidirectional Forwarding Detection for one hop in asynchronous mode (RFC 5880, RFC
// 5881): packets, and the session's state machine, which has no clock, no socket and no goroutine.
// Authentication, demand mode of our own and echo packets are omitted.
package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// State is a session's (RFC 5880, 4.1).
type State uint8

// The states.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

func (s State) String() string { return [...]string{"AdminDown", "Down", "Init", "Up"}[s&3] }

// Diag says why a session left Up (RFC 5880, 4.1).
type Diag uint8

// The reasons that we give.
const (
	NoDiag          Diag = 0
	DetectionEnded  Diag = 1 // control detection time expired
	NeighbourSaysSo Diag = 3 // neighbor signaled session down
	Administrative  Diag = 7 // administratively down
)

// diags are the texts of RFC 5880, 4.1.
var diags = []string{"no diagnostic", "control detection time expired", "echo function failed", "neighbor signaled session down",
	"forwarding plane reset", "path down", "concatenated path down", "administratively down", "reverse concatenated path down"}

func (d Diag) String() string {
	if int(d) < len(diags) {
		return diags[d]
	}
	return fmt.Sprintf("diagnostic %d", d)
}

// Packet is a control packet without authentication.
type Packet struct {
	Diag  Diag
	State State
	// Poll asks for a packet with Final; Demand means that periodic packets are not wanted.
	Poll, Final, Demand bool
	Multiplier          uint8
	Mine, Yours         uint32 // discriminators
	// DesiredTx is how often the sender wants to send, RequiredRx how often it can receive, 0 for
	// not at all.
	DesiredTx, RequiredRx time.Duration
}

// length is that of a packet without authentication (RFC 5880, 4.1).
const length = 24

// The flags of the second byte.
const (
	flagPoll       = 0x20
	flagFinal      = 0x10
	flagAuth       = 0x04
	flagDemand     = 0x02
	flagMultipoint = 0x01
)

// Marshal returns the packet as it is sent.
func (p Packet) Marshal() []byte {
	b := make([]byte, length)
	b[0] = 1<<5 | byte(p.Diag)
	b[1] = byte(p.State) << 6
	for flag, set := range map[byte]bool{flagPoll: p.Poll, flagFinal: p.Final, flagDemand: p.Demand} {
		if set {
			b[1] |= flag
		}
	}
	b[2], b[3] = p.Multiplier, length
	binary.BigEndian.PutUint32(b[4:], p.Mine)
	binary.BigEndian.PutUint32(b[8:], p.Yours)
	binary.BigEndian.PutUint32(b[12:], uint32(p.DesiredTx/time.Microsecond))
	binary.BigEndian.PutUint32(b[16:], uint32(p.RequiredRx/time.Microsecond))
	return b
}

// Unmarshal reads a packet, and refuses what RFC 5880, 6.8.6 says is to be discarded whoever
// receives it.
func Unmarshal(b []byte) (Packet, error) {
	switch {
	case len(b) < length || int(b[3]) > len(b) || b[3] < length:
		return Packet{}, errors.New("wrong length")
	case b[0]>>5 != 1:
		return Packet{}, fmt.Errorf("version %d", b[0]>>5)
	case b[1]&flagAuth != 0:
		return Packet{}, errors.New("authentication is not supported")
	case b[1]&flagMultipoint != 0:
		return Packet{}, errors.New("the multipoint bit is set")
	}
	micro := func(at int) time.Duration { return time.Duration(binary.BigEndian.Uint32(b[at:])) * time.Microsecond }
	p := Packet{
		Diag: Diag(b[0] & 0x1f), State: State(b[1] >> 6), Poll: b[1]&flagPoll != 0, Final: b[1]&flagFinal != 0,
		Demand:     b[1]&flagDemand != 0,
		Multiplier: b[2], Mine: binary.BigEndian.Uint32(b[4:]), Yours: binary.BigEndian.Uint32(b[8:]),
		DesiredTx: micro(12), RequiredRx: micro(16),
	}
	switch {
	case p.Multiplier == 0 || p.Mine == 0:
		return Packet{}, errors.New("a multiplier or discriminator of 0")
	case p.Yours == 0 && p.State != Down && p.State != AdminDown:
		return Packet{}, errors.New("the packet does not have our discriminator")
	}
	return p, nil
}
