package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Registers have 16 bytes, or as NFT_REG32 4 bytes each: the first of these is the first part of
// register 1. What has several words lies in one register and those that follow; the kernel and nft
// call a part that begins a register by the register's number.
const (
	reg2        = unix.NFT_REG_2
	wordsPerReg = 4
)

// littleEndian tells the machine's byte order.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// wordRegister is where a word lies of what begins in register first.
func wordRegister(first uint32, word int) uint32 {
	if word%wordsPerReg == 0 {
		return first + uint32(word/wordsPerReg)
	}
	return unix.NFT_REG32_00 + (first-reg1)*wordsPerReg + uint32(word)
}

// loadInto reads a field of the packet, its meta data or its connection into a register.
func (e *ruleEncoder) loadInto(reg uint32, src *source) {
	switch src.kind {
	case fromPayload:
		e.payloadInto(reg, src.place)
	case fromCT:
		e.ctLoadInto(reg, src.key)
	default:
		e.metaLoadInto(reg, src.key)
	}
}
