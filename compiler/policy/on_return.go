package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pbr/compiler/sorting"
)

// OnReturn says what happens to connections that took a worse uplink when a better one is usable
// again.
type OnReturn uint8

const (
	// ReturnUnset: the file does not say.
	ReturnUnset OnReturn = iota
	ReturnKeep
	ReturnMove
)

// Bounds of settle.
const (
	defaultSettle = 10 * time.Second
	minSettle     = 100 * time.Millisecond
	maxSettle     = time.Hour
)

// onReturn reads on-return and settle.
func (s *section) onReturn() (r OnReturn, settle time.Duration) {
	word, pos := s.word("on-return", "", "keep", "move")
	if pos.Line != 0 {
		r = map[string]OnReturn{"keep": ReturnKeep, "move": ReturnMove}[word]
	}
	present := s.fields.Get("settle") != nil
	settle = s.duration("settle", defaultSettle, minSettle, maxSettle)
	if present && r != ReturnMove {
		s.errorAt(s.keyPos("settle"), codeConflict, "settle", `add on-return = "move", or leave settle out`,
			"settle needs on-return = \"move\": it is how long a better uplink must be usable before connections move back to it")
	}
	return r, settle
}

// policyReturn reads on-return of a policy, which is for targets with a fallback.
func (s *section) policyReturn(pol *Policy) {
	pol.OnReturn, pol.Settle = s.onReturn()
	if pol.OnReturn != ReturnUnset && pol.Target.Refuses() {
		s.errorAt(s.keyPos("on-return"), codeConflict, "on-return", "leave on-return out",
			"an action leads through no uplink: there is nothing to return to")
	}
	if pol.OnReturn == ReturnMove && pol.Target.Kind == ToUplink && !pol.Strict && s.p.doc.Default == nil {
		s.errorAt(s.keyPos("on-return"), codeConflict, "on-return",
			"add [default], whose uplinks then are the fallback",
			"without [default] the main table decides where connections go that fall back, and they cannot be told apart")
	}
}

// Return is a table as some connections use it, and what happens to them when a better uplink is
// usable again.
type Return struct {
	// Name is the number's: the table's own, or that of a variant for policies that say otherwise.
	Name    string
	Variant bool
	Table   *Table
	Move    bool
	// First is the uplink of policies that fall back to the table: all uplinks of it are worse.
	// Empty: the table's own order counts.
	First  string
	Settle time.Duration
}

// Names of the variants of a table. A user's name cannot contain "/".
const (
	moveSuffix = "/move"
	keepSuffix = "/keep"
	elseSuffix = "/else"
)

// ReturnName is the number of the table that a policy's connections use because of its on-return;
// empty if it is the target's own. For a policy to an uplink it is what they fall back to.
func ReturnName(doc *Document, pol *Policy) string {
	if pol.OnReturn == ReturnUnset {
		return ""
	}
	switch pol.Target.Kind {
	case ToTable:
		if t := doc.Table(pol.Target.Name); t != nil {
			return variantOf(t, pol)
		}
	case ToDefault:
		if doc.Default != nil {
			return variantOf(doc.Default, pol)
		}
	case ToUplink:
		if pol.OnReturn == ReturnMove && !pol.Strict && doc.Default != nil {
			return doc.Default.Name + elseSuffix
		}
	}
	return ""
}

func variantOf(t *Table, pol *Policy) string {
	switch {
	case pol.OnReturn == ReturnMove && t.OnReturn != ReturnMove:
		return t.Name + moveSuffix
	case pol.OnReturn == ReturnKeep && t.OnReturn == ReturnMove:
		return t.Name + keepSuffix
	}
	return ""
}

// Returns lists the tables whose connections move back, and the variants of tables, in an order
// that the file decides.
func Returns(doc *Document) (list []Return) {
	own := func(t *Table) {
		if t.OnReturn == ReturnMove {
			list = append(list, Return{Name: t.Name, Table: t, Move: true, Settle: t.Settle})
		}
	}
	for i := range doc.Tables {
		own(&doc.Tables[i])
	}
	if doc.Default != nil {
		own(doc.Default)
	}
	for i := range doc.Policies {
		pol := &doc.Policies[i]
		name := ReturnName(doc, pol)
		if name == "" {
			continue
		}
		r := Return{Name: name, Variant: true, Table: doc.Default, Move: pol.OnReturn == ReturnMove, Settle: pol.Settle}
		switch pol.Target.Kind {
		case ToTable:
			r.Table = doc.Table(pol.Target.Name)
		case ToUplink:
			r.First = pol.Target.Name
		}
		at := slices.IndexFunc(list, func(o Return) bool { return o.Name == r.Name && o.First == r.First })
		if at < 0 {
			list = append(list, r)
			continue
		}
		list[at].Settle = max(list[at].Settle, r.Settle)
	}
	return list
}

// Worse reports whether connections of the table over an uplink move back when a better one is
// usable again.
func (r *Return) Worse(uplink string) bool {
	return r.Move && (r.First != "" && r.First != uplink || len(r.Better(uplink)) > 0)
}

// Better lists the uplinks that connections over this one move back to.
func (r *Return) Better(uplink string) (names []string) {
	if r.First != "" {
		return []string{r.First}
	}
	own := slices.IndexFunc(r.Table.Routes, func(o Route) bool { return o.Uplink == uplink })
	if own < 0 {
		return nil
	}
	for _, o := range r.Table.Routes {
		if o.Distance < r.Table.Routes[own].Distance && o.Dst == r.Table.Routes[own].Dst && !slices.Contains(names, o.Uplink) {
			names = append(names, o.Uplink)
		}
	}
	return names
}

// Fallback is an uplink as connections leave through it that move back.
type Fallback struct {
	Uplink string
	Strict bool
}

// Fallbacks lists them, sorted.
func Fallbacks(doc *Document) (list []Fallback) {
	for _, r := range Returns(doc) {
		for _, route := range r.Table.Routes {
			if f := (Fallback{route.Uplink, r.Table.Strict}); r.Worse(route.Uplink) && !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
	}
	sorting.Func(list, func(a, b Fallback) int {
		return cmp.Or(cmp.Compare(a.Uplink, b.Uplink), cmp.Compare(fmt.Sprint(a.Strict), fmt.Sprint(b.Strict)))
	})
	return list
}

// returnNumbers counts the marks that on-return needs: one for each variant of a table, and one for
// each uplink that connections leave through for want of a better one.
func returnNumbers(doc *Document) int {
	names := map[string]bool{}
	for _, r := range Returns(doc) {
		if r.Variant {
			names[r.Name] = true
		}
	}
	return len(names) + len(Fallbacks(doc))
}
