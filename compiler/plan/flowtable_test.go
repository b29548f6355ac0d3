package plan

import (
	"reflect"
	"testing"
)

func TestDiffFlowtables(t *testing.T) {
	table := func(change func(*Flowtable), devices ...string) Flowtable {
		f := Flowtable{Name: "flows", Devices: devices, Counter: true}
		if change != nil {
			change(&f)
		}
		return f
	}
	hardware := func(f *Flowtable) { f.Hardware = true }
	a, ab, bc := table(nil, "a"), table(nil, "a", "b"), table(nil, "b", "c")
	hard, late := table(hardware, "a"), table(func(f *Flowtable) { f.Priority = 5 }, "a")
	other := table(func(f *Flowtable) { f.Name = "other" })
	for _, c := range []struct {
		name       string
		have, want []Flowtable
		changes    []FlowtableChange
	}{
		{"same", []Flowtable{ab}, []Flowtable{ab}, nil},
		{"made", nil, []Flowtable{a}, []FlowtableChange{{Want: &a}}},
		{"gone", []Flowtable{a}, nil, []FlowtableChange{{Have: &a}}},
		{"renamed", []Flowtable{a}, []Flowtable{other}, []FlowtableChange{{Have: &a}, {Want: &other}}},
		{"a device comes", []Flowtable{a}, []Flowtable{ab}, []FlowtableChange{{Have: &a, Want: &ab, Add: []string{"b"}}}},
		{"devices change", []Flowtable{ab}, []Flowtable{bc},
			[]FlowtableChange{{Have: &ab, Want: &bc, Remove: []string{"a"}, Add: []string{"c"}}}},
		{"hardware", []Flowtable{a}, []Flowtable{hard}, []FlowtableChange{{Have: &a, Want: &hard, Rebuild: true}}},
		{"priority", []Flowtable{a}, []Flowtable{late}, []FlowtableChange{{Have: &a, Want: &late, Rebuild: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Diff(&Plan{Ruleset: Ruleset{Flowtables: c.have}}, &Plan{Ruleset: Ruleset{Flowtables: c.want}})
			if !reflect.DeepEqual(got.Flowtables, c.changes) {
				t.Errorf("%s: got %+v, want %+v", c.name, got.Flowtables, c.changes)
			}
			if got.Empty() != (c.changes == nil) {
				t.Errorf("%s: Empty is %v", c.name, got.Empty())
			}
		})
	}
}
