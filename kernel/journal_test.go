package kernel

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

func TestGoneMarks(t *testing.T) {
	j := &journal{Owned: []owned{
		{Mask: 0xff00, Marks: []uint32{0x100, 0x300}},
		{Mask: 0xff00, Marks: []uint32{0x100, 0x200}},
		{Mask: 0xff0000, Marks: []uint32{0x100, 0x10000}},
		{Mask: 0xff00, Marks: []uint32{0x200}},
	}}
	want := []goneMark{{0x200, 0xff00}, {0x100, 0xff0000}, {0x10000, 0xff0000}}
	if got := j.goneMarks(); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestJournalKeepsTheFirstOriginal(t *testing.T) {
	a, b := owned{Mask: 1, Tables: []uint32{100}}, owned{Mask: 2, Tables: []uint32{101}}
	j := (&journal{}).with(a, []plan.SysctlChange{{Path: "net/b", Have: "0", Want: "1"}})
	j = j.with(b, []plan.SysctlChange{{Path: "net/a", Have: "5", Want: "6"}, {Path: "net/b", Have: "7", Want: "2"}})
	j = j.with(b, nil)
	want := &journal{Owned: []owned{b, a}, Sysctls: []setting{{"net/a", "5", "6"}, {"net/b", "0", "2"}}}
	if !reflect.DeepEqual(j, want) {
		t.Errorf("got %+v, want %+v", j, want)
	}
	settled := j.settled(b, []plan.Sysctl{{Path: "net/b", Value: "2"}})
	if want := (&journal{Owned: []owned{b}, Sysctls: []setting{{"net/b", "0", "2"}}}); !reflect.DeepEqual(settled, want) {
		t.Errorf("settled is %+v, want %+v", settled, want)
	}
}

func TestUnsetSysctls(t *testing.T) {
	taken := []setting{{"net/a", "0", "1"}, {"net/b", "0", "1"}, {"net/c", "0", "1"}, {"net/d", "0", "1"}, {"net/e", "1", "1"}}
	live := map[string]string{"net/a": "1", "net/b": "1", "net/c": "2", "net/e": "1"} // c is someone else's now, d is gone
	got := unsetSysctls(taken, []plan.Sysctl{{Path: "net/b", Value: "1"}}, live)
	if want := []plan.SysctlChange{{Path: "net/a", Have: "1", Want: "0"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestJournalFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal.json")
	none, err := readJournal(file)
	if err != nil || !reflect.DeepEqual(none, &journal{}) {
		t.Fatalf("no journal reads as %+v, %v", none, err)
	}
	j := &journal{Owned: []owned{{Mask: 0xff00, BasePriority: 10000, Tables: []uint32{100}, Marks: []uint32{0x100}}}, Sysctls: []setting{{"net/a", "0", "1"}}}
	if err := replaceJournal(file, none, j); err != nil {
		t.Fatal(err)
	}
	if got, err := readJournal(file); err != nil || !reflect.DeepEqual(got, j) {
		t.Errorf("got %+v, %v", got, err)
	}
	if files, _ := os.ReadDir(filepath.Dir(file)); len(files) != 1 {
		t.Errorf("left %v", files)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readJournal(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a broken journal gives %v", err)
	}
}

func TestPossessionOfASavedPlan(t *testing.T) {
	p := testPossession()
	with := possession(p)
	p.Numbers = nil
	if without := possession(p); !with.equal(without) {
		t.Errorf("with numbers %+v, without %+v", with, without)
	}
}

func testPossession() *plan.Plan {
	return &plan.Plan{
		Mask: 0xff00, BasePriority: 10000,
		Numbers: []plan.Number{{Name: "default", Table: 100}, {Name: "isp1", Table: 101, Mark: 0x100}},
		Routes:  []plan.Route{{Table: 101}, {Table: 100}, {Table: 101, Metric: 2}},
		Rules:   []plan.Rule{{Mark: 0x100, MarkMask: 0xff00}, {Mark: 0x1, MarkMask: 0xff}, {MarkMask: 0xff00}},
	}
}
