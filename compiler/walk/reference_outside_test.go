package walk_test

import (
	"slices"

	"pbr/compiler"
	"pbr/compiler/walk"
	"pbr/integration/reference"
)

// fromOutside opens connections from the providers; their answers use the uplink that they
// came through.
func (b *bench) fromOutside() {
	for _, u := range b.policy.Uplinks {
		for range packetsOfPolicy / 20 {
			k := b.g.Packet()
			k.IIF, k.Src, k.Dst, k.Mark, k.DSCP = u.Interface, k.Dst, k.Src, 0, 0
			if !u.Carries(k.Dst.Is6()) || !b.isInternet(k.Src) {
				continue
			}
			s := &sent{packet: k, frame: walked(k)}
			s.ways = b.router.First(s.frame)
			b.checked++
			wanted := b.eval().Unclassified(k)
			if b.eval().Spoofed(k) {
				wanted = []string{""}
			}
			for i := range s.ways {
				way := &s.ways[i]
				if !slices.Contains(wanted, wayOf(way).Dev) {
					b.disagree(s, "connection from outside", []reference.Way{wayOf(way)}, wanted)
				}
				if way.Fate == walk.Forwarded && b.eval().Stays(u.Interface, k.Dst.Is6()) &&
					way.In != compiler.ChainNever && way.CTMark&0xff000000 != b.marks[u.Name] {
					b.disagree(s, "connection from outside, pinned elsewhere", []any{wayOf(way), way.CTMark}, b.marks[u.Name])
				}
				if way.Fate != walk.Forwarded || b.uplink(way.Dev) != nil {
					continue
				}
				b.checked++
				for _, back := range b.router.Answer(s.frame, way) {
					if back.Fate != walk.Forwarded || back.Dev != u.Interface || back.Src != k.Dst {
						b.disagree(s, "answer to a connection from outside", []reference.Way{wayOf(&back)},
							[]reference.Way{{Dev: u.Interface, Src: k.Dst}})
					}
				}
			}
		}
	}
}

// spoofed sends packets of hosts inside from the providers, which are dropped where sources are
// judged.
func (b *bench) spoofed() {
	for _, u := range b.policy.Uplinks {
		for range packetsOfPolicy / 40 {
			k := b.g.Packet()
			k.IIF, k.Mark = u.Interface, 0
			if !b.eval().Spoofed(k) {
				continue
			}
			b.checked++
			for _, way := range b.router.First(walked(k)) {
				if way.Fate == walk.Forwarded {
					b.disagree(&sent{packet: k, ways: []walk.Way{way}}, "spoofed", []reference.Way{wayOf(&way)}, nil)
				}
			}
		}
	}
}
