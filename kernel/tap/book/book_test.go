package book

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pbr/integration/steps"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }

func TestTeach(t *testing.T) {
	const life = time.Minute
	long := life + leastSlack
	b := New(2)
	steps := []struct {
		name string
		at   time.Duration
		addr int
		life time.Duration
		want []Change
	}{
		{"a new one", 0, 1, life, []Change{{Addr: addr(1), Add: true, Life: long}}},
		{"one that stays that long anyway", time.Second, 1, life, nil}, // stays that long anyway
		{"one that has to stay longer", 2 * time.Second, 1, life, []Change{{Addr: addr(1), Remove: true, Add: true, Life: long}}},
		{"a shorter time takes nothing away", 3 * time.Second, 1, time.Second, nil}, // a shorter time takes nothing away
		{"another", 4 * time.Second, 2, life, []Change{{Addr: addr(2), Add: true, Life: long}}},
		{"full: the oldest goes", 5 * time.Second, 3, life,
			[]Change{{Addr: addr(1), Remove: true}, {Addr: addr(3), Add: true, Life: long}}},
		// full: the oldest goes
		{"about to end: perhaps gone", 64 * time.Second, 2, life, []Change{{Addr: addr(2), Add: true, Life: long}}},
		// about to end: perhaps gone
		{"all have ended", 3 * time.Minute, 4, 2 * time.Hour,
			[]Change{{Addr: addr(4), Add: true, Life: 2*time.Hour + 2*time.Hour/slackPart}}},
	}
	for i, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			got := b.Teach(nil, noon.Add(s.at), addr(s.addr), "x.test", s.life)
			if !slices.Equal(got, s.want) {
				t.Errorf("step %d: got %+v, want %+v", i+1, got, s.want)
			}
		})
	}
	t.Run("members are those that have not ended", func(t *testing.T) {
		if got := b.Members(noon.Add(3 * time.Minute)); len(got) != 1 || got[0].Addr != addr(4) || got[0].Name != "x.test" {
			t.Errorf("members %v", got)
		}
	})
}

// What a book has is what a set has that its changes were done to, whatever comes; neither grows
// beyond its size, and nothing is taken out of the set that is not there.
func TestBookIsTheSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const size = 20
	b, set := New(size), map[netip.Addr]time.Time{}
	now := noon
	for range 20000 {
		now = now.Add(time.Duration(rng.IntN(900)) * time.Millisecond)
		for a, end := range set {
			if !end.After(now) {
				delete(set, a)
			}
		}
		asked := time.Duration(1+rng.IntN(60)) * time.Second
		a := addr(rng.IntN(40))
		for _, c := range b.Teach(nil, now, a, "x", asked) {
			if c.Remove {
				if _, there := set[c.Addr]; !there {
					t.Fatalf("%s is taken out and is not there", c.Addr)
				}
				delete(set, c.Addr)
			}
			if end, there := set[c.Addr]; c.Add && (!there || end.Before(now.Add(margin))) {
				set[c.Addr] = now.Add(c.Life)
			} else if c.Add {
				t.Fatalf("%s is added and is there for long", c.Addr)
			}
		}
		if set[a].Before(now.Add(asked)) {
			t.Fatalf("%s stays for %v of %v", a, set[a].Sub(now), asked)
		}
		sure := 0
		for _, end := range set {
			if end.After(now.Add(margin)) {
				sure++
			}
		}
		if sure > size || b.Len() > size {
			t.Fatalf("%d in the set, %d in the book", sure, b.Len())
		}
		for _, m := range b.Members(now) {
			if set[m.Addr] != m.End {
				t.Fatalf("%s until %v in the set, %v in the book", m.Addr, set[m.Addr], m.End)
			}
		}
	}
}

func TestSet(t *testing.T) {
	b := New(3)
	b.Teach(nil, noon, addr(1), "one.test", time.Minute)
	b.Set([]Member{{Addr: addr(1), End: noon.Add(time.Hour)}, {Addr: addr(2)},
		{Addr: addr(3), Name: "three.test", End: noon.Add(time.Second)}})
	step := steps.Of(t)
	step.Run("members keep the names that were learned", func(t *testing.T) {
		want := []Member{{addr(1), "one.test", noon.Add(time.Hour)}, {addr(2), "", time.Time{}},
			{addr(3), "three.test", noon.Add(time.Second)}}
		if got := b.Members(noon); !slices.Equal(got, want) {
			t.Errorf("members %v", got)
		}
	})
	step.Run("a member without an end stays so", func(t *testing.T) {
		if got := b.Teach(nil, noon, addr(2), "two.test", time.Hour); got != nil || b.Name(addr(2)) != "two.test" {
			t.Errorf("a member without an end is changed: %v", got)
		}
	})
	step.Run("those that end first go first", func(t *testing.T) {
		if gone := b.Shrink(1); !slices.Equal(gone, []netip.Addr{addr(3), addr(1)}) {
			t.Errorf("%v are gone, and not those that end first", gone)
		}
	})
	step.Run("a member without an end stays as long as is asked", func(t *testing.T) {
		if left := b.Adopt(noon, addr(2), time.Hour); left != time.Hour ||
			b.Adopt(noon.Add(time.Minute), addr(2), time.Hour) != 59*time.Minute {
			t.Errorf("a member without an end stays for %v", left)
		}
	})
	step.Run("what is forgotten is gone", func(t *testing.T) {
		b.Forget(addr(2))
		if b.Len() != 0 {
			t.Errorf("%d members are left", b.Len())
		}
	})
}
