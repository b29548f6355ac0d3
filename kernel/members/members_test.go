package members

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/integration/steps"
	"pbr/kernel/nft"
	"pbr/kernel/state"
)

var now = time.Unix(1_800_000_000, 0)

// few are addresses up to the highest one, where there is no next.
func few(n int) netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, byte(224 + n)}) }

const fewCount = 32

func random(r *rand.Rand) Member {
	from := r.IntN(fewCount)
	m := Member{From: few(from), To: few(from + r.IntN(fewCount-from))}
	if r.IntN(3) == 0 {
		m.To = m.From
	}
	if r.IntN(3) > 0 {
		m.Timeout = time.Duration(1+r.IntN(5)) * time.Hour
		m.Expires = now.Add(m.Timeout - time.Duration(r.IntN(3))*time.Minute)
	}
	return m
}

// longest is how long each address stays, 0 for those that are not there.
func longest(list []Member) (out [fewCount]time.Duration) {
	for i := range fewCount {
		for _, m := range list {
			if !few(i).Less(m.From) && !m.To.Less(few(i)) {
				out[i] = max(out[i], m.Left(now))
			}
		}
	}
	return out
}

// held is the same of elements, and fails if any two overlap or are out of order.
func held(t *testing.T, list []nft.Member) (out [fewCount]time.Duration) {
	t.Helper()
	for n, m := range list {
		if m.To.Less(m.From) || n > 0 && !list[n-1].To.Less(m.From) {
			t.Fatalf("elements overlap or are out of order: %v", list)
		}
		for i := range fewCount {
			if m.Holds(few(i)) {
				if out[i] = m.Expires; m.Timeout == 0 {
					out[i] = 1<<63 - 1
				}
			}
		}
	}
	return out
}

// TestFlatten compares, address by address, what members say with the elements that they become.
func TestFlatten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var list []Member
		for range r.IntN(7) {
			list = append(list, random(r))
		}
		flat := Flatten(list, now)
		if held(t, flat) != longest(list) {
			t.Fatalf("%v became %v", list, flat)
		}
		if len(flat) > max(0, 2*len(list)-1) {
			t.Fatalf("%d members became %d elements", len(list), len(flat))
		}
	}
}

// TestEdit changes random lists, and a set along with them by what Edit says.
func TestEdit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		f := &File{}
		var set []nft.Member
		for range 12 {
			before := slices.Clone(f.Members)
			if n := len(f.Members); n > 0 && r.IntN(3) == 0 {
				if err := f.Delete(f.Members[r.IntN(n)]); err != nil {
					t.Fatal(err)
				}
			} else {
				f.Add(random(r))
			}
			remove, add := Edit(set, before, f.Members, now)
			for _, m := range remove {
				i := slices.Index(set, m)
				if i < 0 {
					t.Fatalf("%v is removed, and not there", m)
				}
				set = slices.Delete(set, i, i+1)
			}
			set = append(set, add...)
			slices.SortFunc(set, func(a, b nft.Member) int { return a.From.Compare(b.From) })
			if held(t, set) != longest(f.Members) {
				t.Fatalf("the set is %v, the members are %v", set, f.Members)
			}
		}
	}
}

func member(text string, timeout time.Duration) Member {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	m := Member{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Timeout: timeout}
	if timeout > 0 {
		m.Expires = now.Add(timeout)
	}
	return m
}

func TestDelete(t *testing.T) {
	f := &File{Members: []Member{member("10.0.0.0-10.0.0.255", 0), member("10.0.0.7", time.Hour)}}
	step := steps.Of(t)
	step.Run("a part of a member is not taken out: the member is named", func(t *testing.T) {
		if err := f.Delete(member("10.0.0.9", 0)); !errors.Is(err, ErrNotMember) || !strings.Contains(err.Error(), "10.0.0.0/24") {
			t.Errorf("a part of a member: %v", err)
		}
	})
	step.Run("what is not a member is an error", func(t *testing.T) {
		if err := f.Delete(member("10.0.1.9", 0)); !errors.Is(err, ErrNotMember) {
			t.Errorf("none: %v", err)
		}
	})
	step.Run("a member is taken out", func(t *testing.T) {
		if err := f.Delete(member("10.0.0.7", 0)); err != nil || len(f.Members) != 1 {
			t.Errorf("a member: %v, %v", err, f.Members)
		}
	})
}

// TestAdopt takes in what others added and forgets what they deleted.
func TestAdopt(t *testing.T) {
	f := &File{Members: []Member{member("10.0.0.0-10.0.0.255", 0), member("10.0.0.7", time.Hour), member("10.1.0.1", 0),
		member("2001:db8::1", 0)}}
	f.Adopt([]nft.Member{
		{From: netip.MustParseAddr("10.0.0.0"), To: netip.MustParseAddr("10.0.0.255")},
		{From: netip.MustParseAddr("10.2.0.1"), To: netip.MustParseAddr("10.2.0.1"), Timeout: time.Hour, Expires: time.Minute},
	}, plan.IPv4, now)
	var got []string
	for _, m := range f.Members {
		got = append(got, m.String())
	}
	if want := []string{"10.0.0.0/24", "10.0.0.7", "2001:db8::1", "10.2.0.1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if left := f.Members[3].Left(now); left != time.Minute {
		t.Errorf("%s left", left)
	}
}

// stateDir is a state directory of the test's own.
func stateDir(t *testing.T) state.Dir {
	t.Helper()
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	return state.Find(t.TempDir())
}

func load(t *testing.T, dir state.Dir, at time.Time) string {
	t.Helper()
	f, err := Load(dir, "a", Added, at)
	if err != nil {
		t.Error(err)
	}
	var out []string
	for _, m := range f.Members {
		left := "for ever"
		if m.Timeout > 0 {
			left = m.Left(at).String()
		}
		out = append(out, m.String()+" "+left)
	}
	return strings.Join(out, ", ")
}

// TestFiles keeps members over the process, over a restart of the machine if they persist, and with
// a clock that is behind.
func TestFiles(t *testing.T) {
	dir := stateDir(t)
	step := steps.Of(t)
	step.Run("at first there is none", func(t *testing.T) {
		if got := load(t, dir, now); got != "" {
			t.Errorf("nothing is kept, but %s", got)
		}
	})
	f := &File{Members: []Member{member("10.0.0.0-10.0.0.255", 0), member("10.0.1.1", time.Hour), member("10.0.1.2", time.Minute)}}
	if err := Save(dir, "a", Added, f, now); err != nil {
		t.Fatal(err)
	}
	step.Run("the process's end changes nothing, and times go on", func(t *testing.T) {
		for at, want := range map[time.Duration]string{
			0:               "10.0.0.0/24 for ever, 10.0.1.1 1h0m0s, 10.0.1.2 1m0s",
			2 * time.Minute: "10.0.0.0/24 for ever, 10.0.1.1 58m0s",
			-48 * time.Hour: "10.0.0.0/24 for ever, 10.0.1.1 1h0m0s, 10.0.1.2 1m0s",
		} {
			if got := load(t, dir, now.Add(at)); got != want {
				t.Errorf("%s later: %s, want %s", at, got, want)
			}
		}
	})
	// Another boot.
	text, err := os.ReadFile(dir.Path("members", "a.added.json"))
	if err != nil {
		t.Fatal(err)
	}
	earlier := strings.Replace(string(text), bootID(), "00000000-0000-0000-0000-000000000000", 1)
	reboot := func(t *testing.T, text string) {
		if err := os.WriteFile(dir.Path("members", "a.added.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	step.Run("a restart of the machine ends them", func(t *testing.T) {
		reboot(t, earlier)
		if got := load(t, dir, now); got != "" {
			t.Errorf("after a restart there is %s", got)
		}
	})
	step.Run("unless the list persists", func(t *testing.T) {
		reboot(t, string(text))
		if err := SetPersist(dir, map[string]bool{"a": true, "none": true}, now); err != nil {
			t.Fatal(err)
		}
		text, _ = os.ReadFile(dir.Path("members", "a.added.json"))
		reboot(t, strings.Replace(string(text), bootID(), "00000000-0000-0000-0000-000000000000", 1))
		if got := load(t, dir, now); !strings.HasPrefix(got, "10.0.0.0/24 for ever") {
			t.Errorf("persistent members are %q after a restart", got)
		}
	})
	step.Run("seeds are the members of one IP version", func(t *testing.T) {
		seeds := Seeds(dir, func() time.Time { return now })
		if got := seeds(plan.ListSet("a", plan.IPv4)); len(got) != 3 || seeds(plan.ListSet("a", plan.IPv6)) != nil ||
			seeds("uplinks") != nil {
			t.Errorf("seeds: %v", got)
		}
	})
	step.Run("a torn file is an error", func(t *testing.T) {
		reboot(t, `{"boot":"x`)
		if _, err := Load(dir, "a", Added, now); err == nil {
			t.Error("a torn file is taken")
		}
	})
}
