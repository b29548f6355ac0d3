package layers

import (
	"testing"

	"pbr/compiler/plan"
)

// Random policies that overlap a lot mean the same in every form, for packets at and around the ends of all intervals.
func TestFormsAreEqual(t *testing.T) {
	r := testRand(t)
	for range 400 {
		l := randomList(r, 1+r.IntN(40))
		want := Build("classify", l.policies, l.lookUp, List)
		packets := make([]packet, 100)
		for i := range packets {
			packets[i] = l.packet()
		}
		for _, form := range []Form{Cheapest, Maps, Masks} {
			got := Build("classify", l.policies, l.lookUp, form)
			apart(t, got)
			for _, p := range packets {
				if a, b := verdictOf(want.Rules, want, l.sets, p), verdictOf(got.Rules, got, l.sets, p); a != b {
					t.Fatalf("form %d: %+v goes to %q, not %q\n%+v\n%+v", form, p, b, a, l.policies, got)
				}
			}
		}
	}
}

// apart fails unless no two elements of a map overlap.
func apart(t *testing.T, r *Result) {
	t.Helper()
	for _, s := range r.Sets {
		if len(s.Elements)+len(s.Tuples) == 0 || len(s.Elements) > 0 && s.Type == 0 || len(s.Tuples) > 0 && len(s.Concat) < 2 {
			t.Fatalf("no map: %+v", s)
		}
		for i := 1; i < len(s.Elements); i++ {
			if s.Elements[i].From.Compare(s.Elements[i-1].To) <= 0 {
				t.Fatalf("%s: elements overlap: %v", s.Name, s.Elements[i-1:i+1])
			}
		}
		for i := range s.Tuples {
			for j := range i {
				if overlap(s.Tuples[i].Spans(s.Concat), s.Tuples[j].Spans(s.Concat)) {
					t.Fatalf("%s: elements overlap: %v, %v", s.Name, s.Tuples[i], s.Tuples[j])
				}
			}
		}
	}
}

func overlap(a, b []plan.Span) bool {
	for i := range a {
		if a[i].To.Compare(b[i].From) < 0 || b[i].To.Compare(a[i].From) < 0 {
			return false
		}
	}
	return true
}
