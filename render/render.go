// Package render turns a plan into text: the nftables table, ip commands, a shell script, JSON, and
// what a person reads: the difference of two plans and the findings about a policy file. It is
// pure: it decides nothing, runs nothing, and names no object that the plan lacks.
package render

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// The append functions of this package add text to b and return it, as strconv's do: a ruleset has
// up to hundreds of thousands of pieces, and fmt would make a garbage string of each.

// appendMark adds a mark or mask, as 0x12000000.
func appendMark(b []byte, v uint32) []byte {
	b = append(b, "0x"...)
	return hex.AppendEncode(b, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// appendHex8 adds a number of one byte, as 0x2e.
func appendHex8(b []byte, v uint8) []byte {
	return hex.AppendEncode(append(b, "0x"...), []byte{v})
}

func appendUint[T ~uint8 | ~uint16 | ~uint32](b []byte, v T) []byte {
	return strconv.AppendUint(b, uint64(v), 10)
}

// appendLine adds s as the rest of one line: control characters, which could end it, become spaces.
func appendLine(b []byte, s string) []byte {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			b = append(b, ' ')
		} else {
			b = append(b, s[i])
		}
	}
	return b
}

// appendComment adds a line of comment that both nft and sh skip.
func appendComment(b []byte, indent, s string) []byte {
	b = append(b, indent...)
	b = append(b, "# "...)
	b = appendLine(b, s)
	return append(b, '\n')
}

// shellWord returns s as one word of a POSIX shell.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:/@%+,=-", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
