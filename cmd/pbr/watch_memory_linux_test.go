package main

import (
	"os"
	"strings"
	"testing"
)

// TestProgramPages: what is given back are mappings of the program that nobody can write and
// nothing changed. The others would lose what is in them.
func TestProgramPages(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	entry := func(head, anonymous string) string {
		return head + "\nSize:  8 kB\nAnonymous:  " + anonymous + " kB\nVmFlags: rd ex mr mw me\n"
	}
	text := strings.Join([]string{
		entry("00400000-00c00000 r-xp 00000000 08:01 123 "+program, "0"),
		entry("00c00000-01400000 r--p 00800000 08:01 123 "+program, "4"),
		entry("01400000-01500000 rw-p 01000000 08:01 123 "+program, "0"),
		entry("01500000-01600000 r--p 01000000 08:01 123 "+program, "0"),
		entry("c000000000-c004000000 rw-p 00000000 00:00 0", "0"),
		entry("7f0000000000-7f0000001000 r-xp 00000000 08:01 99 /lib/ld.so", "0"),
		entry("7fff00000000-7fff00001000 r-xp 00000000 00:00 0 [vdso]", "0"),
	}, "")
	t.Run("pages of the program that nobody can write and nothing changed", func(t *testing.T) {
		got := programPages(strings.NewReader(text))
		want := []mapping{{0x400000, 0x800000}, {0x1500000, 0x100000}}
		if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%x, want %x", got, want)
		}
	})
	t.Run("the program goes on without them", func(t *testing.T) {
		shedStart() // and goes on
		if quiet().main([]string{"pbr", "version"}) != exitOK {
			t.Error("the program does not work any more")
		}
	})
}
