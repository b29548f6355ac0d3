package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/steps"
	"pbr/kernel/conntrack"
)

func TestJournalKeepsTheFirstOriginal(t *testing.T) {
	a, b := owned{Marks: conntrack.Marks{Mask: 1}, Tables: []uint32{100}}, owned{Marks: conntrack.Marks{Mask: 2}, Tables: []uint32{101}}
	dependents := []setting{{Path: "net/c", Original: "1", Set: "0"}}
	j := (&journal{}).with(a, []setting{{Path: "net/b", Original: "0", Set: "1", Dependents: dependents}}).inForce(a)
	j = j.with(b, []setting{{Path: "net/a", Original: "5", Set: "6"}, {Path: "net/b", Original: "7", Set: "2"}})
	j = j.with(b, nil)
	want := &journal{Owned: []owned{a}, Next: &b, Sysctls: []setting{
		{Path: "net/a", Original: "5", Set: "6"}, {Path: "net/b", Original: "0", Set: "2", Dependents: dependents}}}
	if !reflect.DeepEqual(j, want) {
		t.Errorf("got %+v, want %+v", j, want)
	}
	final := j.final(b, []plan.Sysctl{{Path: "net/b", Value: "2"}})
	if want := (&journal{Owned: []owned{b}, Sysctls: want.Sysctls[1:]}); !reflect.DeepEqual(final, want) {
		t.Errorf("final is %+v, want %+v", final, want)
	}
}

// What a plan that never came into force was to own is not ours, but may have objects of ours in
// it.
func TestJournalOfAFailedPlan(t *testing.T) {
	a, b, c := owned{Marks: conntrack.Marks{Mask: 1}, BasePriority: 1000, Tables: []uint32{100}},
		owned{Marks: conntrack.Marks{Mask: 2}, BasePriority: 2000, Tables: []uint32{101}}, owned{Marks: conntrack.Marks{Mask: 3}}
	j := (&journal{}).with(a, nil).inForce(a).with(b, nil)
	t.Run("while it is applied the priorities of the one before are ours", func(t *testing.T) {
		if got := j.bases(); !slices.Equal(got, []uint32{1000}) {
			t.Errorf("while it is applied, priorities are ours from %d", got)
		}
	})
	j = j.with(c, nil)
	t.Run("after it was killed the tables of the one before are ours", func(t *testing.T) {
		if got := j.tables(); !slices.Equal(got, []uint32{100}) {
			t.Errorf("after it was killed, tables %d are ours", got)
		}
	})
	t.Run("all of them are remembered", func(t *testing.T) {
		if got := j.all(); len(got) != 3 || got[0].other(a) || got[1].other(b) || got[2].other(c) {
			t.Errorf("remembers %+v", got)
		}
	})
	t.Run("the plan in force again ends that", func(t *testing.T) {
		if j = j.with(a, nil); j.Next != nil {
			t.Errorf("the plan in force is to come: %+v", j)
		}
	})
}

func TestUnsetSysctls(t *testing.T) {
	var taken []setting
	for _, path := range []string{"net/a", "net/b", "net/c", "net/d"} {
		taken = append(taken, setting{Path: path, Original: "0", Set: "1"})
	}
	taken = append(taken, setting{Path: "net/e", Original: "1", Set: "1"})
	live := map[string]string{"net/a": "1", "net/b": "1", "net/c": "2", "net/e": "1"} // c is someone else's now, d is gone
	got := unsetSysctls(taken, []plan.Sysctl{{Path: "net/b", Value: "1"}}, live)
	if want := []plan.SysctlChange{{Path: "net/a", Have: "1", Want: "0"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestJournalFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal.json")
	step := steps.Of(t)
	none, err := readJournal(file)
	step.Run("no journal is an empty one", func(t *testing.T) {
		if err != nil || !reflect.DeepEqual(none, &journal{}) {
			t.Fatalf("no journal reads as %+v, %v", none, err)
		}
	})
	j := &journal{Owned: []owned{{Marks: conntrack.Marks{Mask: 0xff00, Numbers: []plan.Number{{Name: "isp1", Table: 100, Mark: 0x100}}},
		BasePriority: 10000, Tables: []uint32{100}}}, Sysctls: []setting{{Path: "net/a", Original: "0", Set: "1"}}}
	step.Run("it reads what it wrote, and leaves no other file", func(t *testing.T) {
		if err := replaceJournal(file, none, j); err != nil {
			t.Fatal(err)
		}
		if got, err := readJournal(file); err != nil || !reflect.DeepEqual(got, j) {
			t.Errorf("got %+v, %v", got, err)
		}
		if files, _ := os.ReadDir(filepath.Dir(file)); len(files) != 1 {
			t.Errorf("left %v", files)
		}
	})
	for _, damaged := range []string{"", "{", "null null"} {
		t.Run(fmt.Sprintf("damaged: %q", damaged), func(t *testing.T) {
			if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readJournal(file)
			var failed *JournalError
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "pbr apply sets it aside") {
				t.Errorf("a journal with %q gives %v", damaged, err)
			}
		})
	}
	step.Run("an empty journal is no file", func(t *testing.T) {
		if err := replaceJournal(file, j, &journal{}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an empty journal's file: %v", err)
		}
	})
}

func TestClaimsWithoutNames(t *testing.T) {
	p := testClaims()
	with := claimsOf(p)
	t.Run("numbers have names, tables and marks", func(t *testing.T) {
		if want := []plan.Number{{Name: "default", Table: 100},
			{Name: "isp1", Table: 101, Mark: 0x100}}; !slices.Equal(with.Numbers, want) {
			t.Errorf("numbers are %v", with.Numbers)
		}
	})
	t.Run("without names it is the same claim", func(t *testing.T) {
		p.Numbers = nil
		if without := claimsOf(p); !slices.Equal(with.Values(), without.Values()) || !slices.Equal(with.Tables, without.Tables) {
			t.Errorf("with numbers %+v, without %+v", with, without)
		}
	})
}

func testClaims() *plan.Plan {
	return &plan.Plan{
		Mask: 0xff00, BasePriority: 10000,
		Numbers: []plan.Number{{Name: "default", Table: 100}, {Name: "isp1", Table: 101, Mark: 0x100}},
		Routes:  []plan.Route{{Table: 101}, {Table: 100}, {Table: 101, Metric: 2}},
		Rules:   []plan.Rule{{Mark: 0x100, MarkMask: 0xff00}, {Mark: 0x1, MarkMask: 0xff}, {MarkMask: 0xff00}},
	}
}
