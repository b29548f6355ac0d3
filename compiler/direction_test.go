package compiler

import (
	"fmt"
	"net/netip"
	"testing"

	packets "pbr/compiler/walk"
)

// eachShape runs a test with so few uplinks that their marks are compared, and with more.
func eachShape(t *testing.T, test func(t *testing.T, uplinks string)) {
	t.Helper()
	for _, n := range []int{2, fewPinned + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			test(t, uplinksBy(n))
		})
	}
}

// Connections that a helper expected inherit the mark of theirs, with the bit of those that were
// opened from inside, although they may come from outside (active FTP): they are told by the
// interface, and the others by direction.
func TestExpectedConnectionsAreToldByInterface(t *testing.T) {
	t.Parallel()
	eachShape(t, expectedByInterface)
}

func expectedByInterface(t *testing.T, uplinks string) {
	t.Helper()
	p := compiledText(t, uplinks+"[[policy]]\nname = \"all\"\nuplink = \"isp2\"\n")
	if p.Inside == 0 {
		t.Fatal("the mask has no room for the bit")
	}
	var number uint32
	for _, n := range p.Numbers {
		if n.Name == "isp2" {
			number = n.Mark
		}
	}
	e, err := packets.New(&p.Ruleset)
	if err != nil {
		t.Fatal(err)
	}
	outside, host := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("192.168.1.2")
	for _, row := range []struct {
		name   string
		packet packets.Packet
		marked bool
	}{
		{"opened from inside, upload", packets.Packet{IIF: "br-lan", Src: host, Dst: outside}, true},
		{"opened from inside, download", packets.Packet{IIF: "wan2", Src: outside, Dst: host, Reply: true}, false},
		{"expected from outside, to inside", packets.Packet{IIF: "wan2", Src: outside, Dst: host, CTStatus: statusExpected}, false},
		{"expected from outside, answer", packets.Packet{IIF: "br-lan", Src: host, Dst: outside, Reply: true,
			CTStatus: statusExpected}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			k := row.packet
			k.Proto, k.SPort, k.DPort, k.CTMark, k.CTState = 6, 20, 40000, number|p.Inside, packets.StateEstablished
			k.CTStatus |= packets.StatusConfirmed
			r, err := e.Walker().Walk("prerouting", &k)
			if err != nil {
				t.Fatal(err)
			}
			want := uint32(0)
			if row.marked {
				want = number
			}
			if r.Mark != want || r.Verdict == packets.Dropped {
				t.Errorf("the packet has mark %#x, not %#x: %v", r.Mark, want, r.Verdict)
			}
		})
	}
}

// A mark that names nothing of the policy counts as none, also with the bit of connections that
// were opened from inside: a first packet is classified, a later one is left alone.
func TestStrangeMarksWithInsideBit(t *testing.T) {
	t.Parallel()
	eachShape(t, strangeMarks)
}

func strangeMarks(t *testing.T, uplinks string) {
	t.Helper()
	p := compiledText(t, uplinks+"[[policy]]\nname = \"all\"\nuplink = \"isp2\"\nstrict = false\n")
	numbers := map[uint32]string{}
	for _, n := range p.Numbers {
		if n.Mark != 0 {
			numbers[n.Mark] = n.Name
		}
	}
	strange := uint32(0x7e000000)
	if p.Inside == 0 || numbers[strange] != "" {
		t.Fatalf("bit %#x, numbers %v", p.Inside, numbers)
	}
	e, err := packets.New(&p.Ruleset)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		state  uint32
		status uint32
		want   string
	}{
		{"the first packet", packets.StateNew, 0, "isp2"},
		{"a later packet", packets.StateEstablished, packets.StatusConfirmed, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, err := e.Walker().Walk("prerouting", &packets.Packet{IIF: "br-lan", Src: netip.MustParseAddr("192.168.1.2"),
				Dst: netip.MustParseAddr("203.0.113.9"), Proto: 6, SPort: 40000, DPort: 443, CTMark: strange | p.Inside,
				CTState: row.state, CTStatus: row.status})
			if err != nil {
				t.Fatal(err)
			}
			if numbers[r.Mark] != row.want {
				t.Errorf("the packet has mark %#x (%s), not that of %q", r.Mark, numbers[r.Mark], row.want)
			}
		})
	}
}
