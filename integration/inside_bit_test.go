package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// wholeMarks is somebody who gives packets their connection's whole mark, behind pbr's chains.
const wholeMarks = `table inet whole {
	chain pre { type filter hook prerouting priority -140; ct mark != 0 meta mark set ct mark; }
	chain out { type route hook output priority -140; ct mark != 0 meta mark set ct mark; }
}
`

// Whoever restores whole connection marks gives packets the inside bit, too: they use the uplink of
// their connection all the same.
func TestWholeMarksRestoredBehind(t *testing.T) {
	t.Parallel()
	n := newEditNet(t)
	r, lan := newRouter(n.Router), n.LANs["lan"]
	for _, isp := range n.ISPs {
		isp.NFT(strayTable)
	}
	for _, nat := range []string{"masquerade", "none"} {
		r.Run("conntrack", "-F")
		r.apply(numbering{0xff000000, 10000, "specific", "isp2", "secret", "second", nat, nil}.text())
		if r.insideBit() == 0 {
			t.Fatal("no inside bit")
		}
		r.NFT(wholeMarks)
		strays := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"])
		tr := startTraffic(t, lan)
		lab.WaitFor(t, "answers", func() bool { return tr.answered() >= len(tr.streams)/2 })
		time.Sleep(trafficAfter)
		tr.end()
		if more := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"]) - strays; more > 0 {
			t.Errorf("nat %s: %d packets left by another uplink", nat, more)
		}
		r.Run("nft", "delete", "table", "inet", "whole")
	}
}

// answered returns how many streams have had an answer.
func (tr *traffic) answered() (n int) {
	for _, s := range tr.streams {
		if s.Tale().Answered > 0 {
			n++
		}
	}
	return n
}

// crowded is a policy with so many further names, a third of them strict, and IPv6 without
// translation.
func crowded(names int) numbering {
	n := numbering{0xff000000, 10000, "specific", "isp2", "secret", "second", "masquerade", nil}
	for i := range names {
		n.more = append(n.more, fmt.Sprintf("more-%d", i))
	}
	return n
}

func (n numbering) untranslated6() string {
	text := strings.ReplaceAll(n.text(), `nat = "masquerade"`, "nat = \"masquerade\"\nnat6 = \"none\"")
	for i, name := range n.more {
		if i%3 == 0 {
			text = strings.Replace(text, fmt.Sprintf("[[table]]\nname = %q\n", name),
				fmt.Sprintf("[[table]]\nname = %q\nstrict = true\n", name), 1)
		}
	}
	return text
}

// An edit that adds or removes many names at once passes the border between marks with the inside
// bit and without: no packet of a running connection goes astray, and none loses its mark.
func TestInsideBitComesAndGoesUnderTraffic(t *testing.T) {
	t.Parallel()
	n := newEditNet(t)
	r, lan := newRouter(n.Router), n.LANs["lan"]
	for _, isp := range n.ISPs {
		isp.NFT(strayTable)
	}
	r.apply(crowded(0).untranslated6())
	strays := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"])
	tr := startTraffic(t, lan)
	lab.WaitFor(t, "answers", func() bool { return tr.answered() >= len(tr.streams)/2 })
	for _, names := range []int{100, 200, 100, 0} {
		r.write(crowded(names).untranslated6())
		if res := r.pbr("apply"); res.Code != 0 || strings.Contains(res.Stderr, "mark-mask") {
			t.Errorf("%d names: %d, %s", names, res.Code, res.Stderr)
		}
		time.Sleep(trafficAfter)
		if more := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"]) - strays; more > 0 {
			t.Errorf("%d names: %d packets left by another uplink", names, more)
			strays += more
		}
		t.Logf("%d names: marks %#x and %#x, inside %#x", names, r.markOf("isp2"), r.markOf("isp2/strict"), r.insideBit())
		r.inSync()
	}
	tr.end()
}

// Where a crowded mark-mask changes to one that shares bits with it, marks are ambiguous for a
// moment: packets are dropped then, none uses another uplink, and no connection loses its mark.
func TestCrowdedMasksThatShareBits(t *testing.T) {
	t.Parallel()
	n := newEditNet(t)
	r, lan := newRouter(n.Router), n.LANs["lan"]
	for _, isp := range n.ISPs {
		isp.NFT(strayTable)
	}
	before, after := crowded(20), crowded(22)
	before.mask, after.mask = 0x000000f8, 0x0000007c
	before.nat, after.nat = "none", "none"
	r.changeUnderTraffic(n, lan, before, after, fewEntries)
	r.changeUnderTraffic(n, lan, after, before, fewEntries)
}
