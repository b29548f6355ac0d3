package policy

import (
	"net/netip"
	"slices"
	"sort"
)

// span is a range of a list, by the list's place in the file.
type span struct {
	Range
	list int
}

// maxOverlaps bounds the pairs that are looked at: of n lists with an address in common there are
// n*(n-1)/2.
const maxOverlaps = 1000

// lintOverlap warns of two lists that share addresses, but for those of a list that both include,
// or that one includes of the other: then they are meant to. Lists whose content changes without
// the file are left out. One sweep over all ranges; a list's own never overlap.
func (p *parser) lintOverlap() {
	if len(p.doc.Lists) < 2 {
		return
	}
	var runs [][]span
	for i := range p.doc.Lists {
		if ranges := p.doc.Lists[i].Ranges; len(ranges) > 0 && !p.doc.Lists[i].Variable() {
			run := make([]span, 0, len(ranges))
			for _, r := range ranges {
				run = append(run, span{r, i})
			}
			runs = append(runs, run)
		}
	}
	type pair struct{ a, b int }
	told := map[pair]bool{}
	var open []span // those that the sweep is inside of, one per list at most
	for _, s := range mergeRuns(runs) {
		open = slices.DeleteFunc(open, func(o span) bool { return o.To.Less(s.From) || o.From.Is4() != s.From.Is4() })
		for _, o := range open {
			k := pair{min(o.list, s.list), max(o.list, s.list)}
			if told[k] || !p.overlap(k.a, k.b, Range{s.From, minAddr(o.To, s.To)}) {
				continue
			}
			if told[k] = true; len(told) == maxOverlaps {
				p.warnf(p.doc.Lists[k.b].Pos, codeOverlap, "lists", "",
					"more than %d pairs of lists share addresses: these are the first", maxOverlaps)
				return
			}
		}
		open = append(open, s)
	}
}

// mergeRuns makes one sorted run of many. Lists are sorted already: this beats sorting again.
func mergeRuns(runs [][]span) []span {
	for len(runs) > 1 {
		half := runs[:0]
		for i := 0; i < len(runs); i += 2 {
			if i+1 == len(runs) {
				half = append(half, runs[i])
				break
			}
			half = append(half, mergeTwo(runs[i], runs[i+1]))
		}
		runs = half
	}
	if len(runs) == 0 {
		return nil
	}
	return runs[0]
}

func mergeTwo(a, b []span) []span {
	out := make([]span, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].From.Compare(b[0].From) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// overlap warns that both lists have the addresses of r, unless common includes have them all, and
// reports whether that is all to be said of the two.
func (p *parser) overlap(a, b int, r Range) (told bool) {
	first, second := &p.doc.Lists[a], &p.doc.Lists[b]
	inFirst, inSecond := p.lists[first.Name].includes, p.lists[second.Name].includes
	if inFirst[second.Name] || inSecond[first.Name] {
		return true
	}
	from := r.From
	for covered := true; covered; {
		covered = false
		for name := range inFirst {
			if !inSecond[name] {
				continue
			}
			if to, ok := p.list(name).reach(from); ok {
				if to.Compare(r.To) >= 0 {
					return false
				}
				from, covered = to.Next(), true
			}
		}
	}
	p.warnf(second.Pos, codeOverlap, "lists."+second.Name, "", "lists %q and %q share addresses, for example %s",
		first.Name, second.Name, from)
	return true
}

// reach returns the end of the list's range that an address is in.
func (l *List) reach(a netip.Addr) (to netip.Addr, ok bool) {
	at := sort.Search(len(l.Ranges), func(i int) bool { return l.Ranges[i].To.Compare(a) >= 0 })
	if at == len(l.Ranges) || a.Less(l.Ranges[at].From) {
		return netip.Addr{}, false
	}
	return l.Ranges[at].To, true
}

func minAddr(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return a
	}
	return b
}
