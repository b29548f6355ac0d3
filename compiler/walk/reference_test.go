package walk_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/integration/race"
	"pbr/integration/reference"
)

const (
	// seedEnv repeats a run.
	seedEnv = "PBR_SEED"
	// packetsEnv is how many packets are sent.
	packetsEnv      = "PBR_PACKETS"
	usualPackets    = 100_000
	packetsOfPolicy = 400
)

// TestWaysFollowRandomPolicies compiles random policies and asks a plain reading of them where
// random packets should go: first ones, their answers, later ones and connections from outside, in
// every state of health.
func TestWaysFollowRandomPolicies(t *testing.T) {
	t.Parallel()
	seed, packets := uint64(time.Now().UnixNano()), race.Cases(usualPackets)
	if s := os.Getenv(seedEnv); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if s := os.Getenv(packetsEnv); s != "" {
		packets, _ = strconv.Atoi(s)
	}
	t.Logf("%s=%d repeats this run", seedEnv, seed)
	b := newBench(t, rand.New(rand.NewPCG(seed, 0)))
	for b.checked < packets && !t.Failed() {
		b.round()
	}
	t.Logf("%d packets of %d policies went as the policies say, %d of them by an uplink, %d to nowhere, %d by chance",
		b.checked, b.policies, b.left, b.nowhere, b.several)
}

// bench is a router without a kernel.
type bench struct {
	t    *testing.T
	g    *reference.Generator
	main string

	host   reference.Host
	policy *reference.Policy
	router *walk.Router
	// strict are the numbers of the policy's strict tables.
	strict map[uint32]bool
	// past is the mark of packets that go past the policy's rules.
	past uint32
	// marks are the numbers of the policy's uplinks and tables.
	marks map[string]uint32

	policies, checked, left, nowhere, several int
}

// round lives one policy's life.
func (b *bench) round() {
	b.setMain()
	b.policy = b.g.Policy()
	b.policy.ReversePath = []string{"kernel", "nft", "nft-strict"}[b.g.IntN(3)]
	b.policy.Offload = []string{"off", "unmarked", "all"}[b.g.IntN(3)]
	if b.compile() == nil {
		return
	}
	b.policies++
	var first []*sent
	for range packetsOfPolicy {
		first = append(first, b.first(b.packet()))
	}
	b.fromOutside()
	b.spoofed()
	b.withoutLinks(first)
	b.fail()
	if b.compile() == nil {
		b.t.Fatalf("health makes no policy wrong:\n%s", b.policy.TOML())
	}
	b.later(first, "with other uplinks down")
	for range packetsOfPolicy {
		b.first(b.packet())
	}
	b.strictStays(first)
	before, _ := b.planOf(nil)
	b.otherClasses()
	after, _ := b.planOf(nil)
	remark(first, before, after)
	b.later(first, "under other policies")
}

// remark gives connections the marks that their uplinks have after an edit, as an apply does: a
// pinned table keeps its number, a strict one that nothing leads to any more gives its connections
// to the uplink's other one.
func remark(first []*sent, before, after *plan.Plan) {
	marks := map[uint32]uint32{}
	for _, n := range before.Numbers {
		for _, heir := range after.Numbers {
			if n.Uplink != "" && heir.Uplink == n.Uplink && (heir.Strict == n.Strict || marks[n.Mark] == 0) {
				marks[n.Mark] = heir.Mark
			}
		}
	}
	for _, s := range first {
		for i := range s.ways {
			way := &s.ways[i]
			mark, inside := marks[way.CTMark&before.NumberMask()], uint32(0)
			if mark != 0 && way.CTMark&before.Inside != 0 {
				inside = after.Inside
			}
			way.CTMark = way.CTMark&^before.Mask | mark | inside
		}
	}
}

func (b *bench) eval() reference.Evaluator {
	return reference.Evaluator{Policy: b.policy, Host: &b.host}
}

// packet is a first packet, now and then from one of the router's own addresses.
func (b *bench) packet() reference.Packet {
	if b.g.IntN(8) == 0 {
		var own []netip.Addr
		for _, u := range b.policy.Uplinks {
			for _, p := range addresses[u.Interface] {
				own = append(own, p.Addr())
			}
		}
		return b.g.LocalPacket(own)
	}
	k := b.g.Packet()
	if k.Src == netip.MustParseAddr("192.168.10.11") {
		k.Mark = 1 // as somebody else's table does
	}
	if k.Proto == 58 && b.g.IntN(2) == 0 {
		k.ICMPType = 132 + uint8(b.g.IntN(7)) // router and neighbour discovery, and what is beside it
	}
	if b.g.IntN(50) == 0 {
		if k.Src = netip.MustParseAddr("192.0.2.2"); k.Dst.Is6() {
			if b.policy.ReversePath == "kernel" {
				return b.packet() // it would take the packet, and the answer
			}
			k.Src = netip.MustParseAddr("2001:db8:f2::2")
		}
	}
	return k
}

func walked(k reference.Packet) *walk.Packet {
	p := &walk.Packet{IIF: k.IIF, Src: k.Src, Dst: k.Dst, Proto: k.Proto, SPort: k.SPort, DPort: k.DPort,
		ICMPType: k.ICMPType, DSCP: k.DSCP, Mark: k.Mark,
		MAC: k.MAC, Ethernet: k.IIF != "", Time: time.Now(), UID: k.UID, GID: k.GID, HasUID: k.Local()}
	copy(p.Cgroups[:], levelsOf(k.Cgroup))
	return p
}

// sent is a first packet and what became of it.
type sent struct {
	packet reference.Packet
	frame  *walk.Packet
	ways   []walk.Way
	// got are the ways in the reference's words, wanted what the policy asks for.
	got, wanted []reference.Way
	// strict are the numbers of the strict tables, stays whether each way is one that the
	// connection keeps.
	strict map[uint32]bool
	stays  []bool
}

// first compares a first packet's ways, and those of its answer and of the packet after it.
func (b *bench) first(k reference.Packet) *sent {
	s := &sent{packet: k, frame: walked(k), strict: b.strict}
	b.checked++
	if !b.agrees(s) {
		b.policy = reference.Minimised(b.policy, func(c *reference.Policy) bool {
			b.policy = c
			return b.compile() != nil && !b.agrees(s)
		})
		b.compile()
		b.agrees(s)
		b.disagree(s, "first packet", s.got, s.wanted)
		return s
	}
	b.count(s)
	for i := range s.ways {
		b.answer(s, &s.ways[i])
	}
	s.stays = slices.Repeat([]bool{true}, len(s.ways))
	b.later([]*sent{s}, atOnce)
	for i := range s.ways {
		s.stays[i] = b.uplink(s.ways[i].Dev) != nil && b.eval().Stays(s.ways[i].Dev, s.packet.Dst.Is6())
	}
	return s
}

// agrees reports whether a first packet's ways are those that the policy asks for.
func (b *bench) agrees(s *sent) bool {
	k := s.packet
	s.ways, s.wanted, s.got = b.router.First(s.frame), b.eval().First(k), nil
	for i := range s.ways {
		s.got = append(s.got, wayOf(&s.ways[i]))
	}
	if slices.ContainsFunc(s.got, func(w reference.Way) bool { return !slices.Contains(s.wanted, w) }) {
		return false
	}
	switch {
	case b.hashes(s): // it chooses one
	case k.Local() && k.Dst.Is6() && slices.Contains(s.wanted, reference.Way{}): // any address may be the one that the kernel chooses
	default:
		return !slices.ContainsFunc(s.wanted, func(w reference.Way) bool { return !slices.Contains(s.got, w) })
	}
	return true
}

// hashes reports whether a balance by hash chooses for a packet, as its sender fills in the
// address.
func (b *bench) hashes(s *sent) bool {
	return slices.ContainsFunc(s.ways, func(w walk.Way) bool {
		k := s.packet
		if !k.Src.IsValid() {
			k.Src = w.Sender
		}
		balance := b.eval().BalanceOf(k)
		return balance != nil && balance.Method == "hash"
	})
}

func (b *bench) count(s *sent) {
	switch w := &s.ways[0]; {
	case len(s.ways) > 1:
		b.several++
	case w.Fate != walk.Forwarded:
		b.nowhere++
	case !strings.HasPrefix(w.Dev, "br-"):
		b.left++
	}
}

// wayOf is a way in the reference's words.
func wayOf(w *walk.Way) reference.Way {
	if w.Fate != walk.Forwarded {
		return reference.Way{}
	}
	return reference.Way{Dev: w.Dev, Src: w.Src}
}

// answer checks that the answer to a packet comes to where that came from, if the policy's rules
// let it.
func (b *bench) answer(s *sent, way *walk.Way) {
	if way.Fate != walk.Forwarded || b.uplink(way.Dev) == nil {
		return
	}
	k := reference.Packet{IIF: way.Dev, Src: s.packet.Dst, Dst: way.Sender, Proto: s.packet.Proto,
		SPort: s.packet.DPort, DPort: s.packet.SPort, DSCP: s.packet.DSCP}
	wanted := b.eval().Unclassified(k)
	if way.CTMark&0xff000000 != 0 {
		wanted = b.eval().Pinned(k)
	}
	for _, back := range b.router.Answer(s.frame, way) {
		switch {
		case s.packet.Local() && back.Fate != walk.Delivered:
			b.disagree(s, "answer to the router", []reference.Way{wayOf(&back)}, nil)
		case !s.packet.Local() && !slices.Contains(wanted, wayOf(&back).Dev):
			b.disagree(s, "answer", []reference.Way{wayOf(&back)}, wanted)
		case back.Mark&0xff000000 != 0 && back.Mark&0xff000000 != b.past:
			b.disagree(s, "an answer from an uplink carries a table's mark", []reference.Way{wayOf(&back)}, nil)
		}
	}
	b.checked++
}

// atOnce says that nothing has changed since the first packet.
const atOnce = "at once"

// later checks that later packets go where the first one went, whatever has changed.
func (b *bench) later(first []*sent, when string) {
	for _, s := range first {
		if s.packet.Local() && s.packet.Dst.Is6() && !s.packet.Src.IsValid() {
			continue // the socket keeps the route that it got before it had an address
		}
		for i := range s.ways {
			way := &s.ways[i]
			past := when == atOnce && !s.packet.Local() && len(b.policy.Rules) > 0 && b.eval().LeftToDefault(s.packet)
			if way.Fate != walk.Forwarded || !past && b.uplink(way.Dev) == nil || !s.stays[i] {
				continue
			}
			if s.packet.Local() && b.socketIsRefused(s, way) {
				continue
			}
			b.checked++
			for _, next := range append(b.router.Next(s.frame, way), b.unanswered(s, way)...) {
				if wayOf(&next) != wayOf(way) || way.CTMark != 0 && next.CTMark != way.CTMark {
					b.disagree(s, "later packet "+when, []any{wayOf(&next), next.CTMark}, []any{wayOf(way), way.CTMark})
				}
			}
		}
	}
}

// socketIsRefused reports whether a sender on the router itself gets no route. It asks without a
// mark, before there is a packet that could belong to a connection.
func (b *bench) socketIsRefused(s *sent, way *walk.Way) bool {
	k := s.packet
	k.Src = way.Sender
	return slices.Contains(b.eval().Unclassified(k), "")
}

// unanswered are the ways of the next packet of a connection that nobody has answered yet: it is
// still new, but not a first one.
func (b *bench) unanswered(s *sent, way *walk.Way) []walk.Way {
	if s.packet.Local() || len(s.ways) > 1 {
		return nil // the same choice again, which a hash makes
	}
	k := *s.frame
	k.CTState, k.CTStatus, k.CTMark = walk.StateNew, walk.StatusConfirmed, way.CTMark
	return b.router.Send(&k)
}

// withoutLinks takes one link after the other down, and nobody compiles again: what is strict
// leaves through none of the others' uplinks, neither as a first packet nor as the next one of a
// connection.
func (b *bench) withoutLinks(first []*sent) {
	p, host := b.planOf(nil)
	for _, u := range b.policy.Uplinks {
		link := host.Links[u.Interface]
		link.Up = false
		host.Links[u.Interface] = link
		router := b.routerOf(p, host)
		link.Up = true
		host.Links[u.Interface] = link
		leaks := func(way *walk.Way, may []string) bool {
			return way.Fate == walk.Forwarded && b.uplink(way.Dev) != nil && way.Rule.Table != plan.MainTable &&
				!slices.Contains(may, way.Dev)
		}
		for _, s := range first {
			may, strict := b.eval().Only(s.packet)
			if s.packet.Local() || !strict {
				continue
			}
			b.checked++
			for _, way := range router.First(s.frame) {
				if leaks(&way, may) {
					b.disagree(s, "strict, without link "+u.Interface, []reference.Way{wayOf(&way)}, may)
				}
			}
			for i := range s.ways {
				if was := &s.ways[i]; was.Fate == walk.Forwarded && was.Dev == u.Interface && was.Rule.Table != plan.MainTable {
					for _, next := range router.Next(s.frame, was) {
						if leaks(&next, may) {
							b.disagree(s, "a strict connection, without link "+u.Interface, []reference.Way{wayOf(&next)}, may)
						}
					}
				}
			}
		}
	}
}

// otherClasses gives the router other policies.
func (b *bench) otherClasses() {
	for {
		if b.g.Classes(b.policy); b.compile() != nil {
			return
		}
	}
}

// strictStays takes uplinks away: what was caught for a strict table goes nowhere then.
func (b *bench) strictStays(first []*sent) {
	for _, u := range b.policy.Uplinks {
		p, host := b.planOf(map[string]bool{u.Interface: true})
		router := b.routerOf(p, host)
		for _, s := range first {
			for i := range s.ways {
				way := &s.ways[i]
				if way.Fate != walk.Forwarded || way.Dev != u.Interface || way.Mark&^3 == 0 || !s.strict[way.Route.Table] {
					continue
				}
				b.checked++
				for _, next := range router.Next(s.frame, way) {
					if next.Fate == walk.Forwarded && b.uplink(next.Dev) != nil && next.Rule.Table != plan.MainTable {
						b.disagree(s, "strict, without its uplink", []reference.Way{wayOf(&next)}, nil)
					}
				}
			}
		}
	}
}

func (b *bench) disagree(s *sent, what string, got, wanted any) {
	b.t.Errorf("%s %+v\n  the plan leads to: %+v\n  the policy says: %+v\n  down: %v\nthe ways: %+v\nthe policy:\n%s",
		what, s.packet, got, wanted, b.host.Down,
		fmt.Sprintf("%+v", s.ways), b.policy.TOML())
	b.t.FailNow()
}
