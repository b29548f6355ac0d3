package compiler

import (
	"iter"
	"maps"
	"slices"
	"strconv"

	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// Of a list that looks into maps, several look-ups in a row may each need the packet's source: its
// host, its network, and both beside other fields. No such look-up finds a packet whose source is
// in none of their maps. So the sources come first, in a map of their own: what is not in it skips
// the others, and the rest of the list is as before.

const (
	// fewestBySource is how many look-ups there must be: one more costs each packet that is
	// selected by its source.
	fewestBySource = 3
	// fewSources is how many sources always pay. More of them do if they are at most a part of what
	// the maps hold, sourcesPart: each makes the ruleset larger, and an apply longer.
	fewSources  = 1000
	sourcesPart = 4
)

// widestSource returns the shortest prefix of a source that says something: a LAN is rarely
// smaller, and with a prefix of all of it every packet would be found.
func widestSource(family plan.Family) uint8 {
	if family == plan.IPv4 {
		return 25
	}
	return 65
}

// sourceRow is rules in a row, from up to but not including to, that look for sources of one IP
// version. None of their maps looks at fewer than so many leading bits.
type sourceRow struct {
	family   plan.Family
	from, to int
	bits     uint8
}

// bySource divides a chain of a list if that spares packets look-ups: into what all packets meet,
// what those of known sources meet besides, and what follows. The map of known sources is new.
func bySource(list string, ch plan.Chain, sets []plan.Set, form layers.Form) ([]plan.Chain, []plan.Set) {
	fewest := fewestBySource
	if form != layers.Cheapest {
		fewest = 1 // small policies try it, as they do maps
	}
	named := make(map[string]*plan.Set, len(sets))
	for i := range sets {
		named[sets[i].Name] = &sets[i]
	}
	row := longestRow(ch.Rules, named)
	if row.to-row.from < fewest {
		return []plan.Chain{ch}, nil
	}
	sources := row.sources(ch.Rules, named)
	if sources == nil {
		return []plan.Chain{ch}, nil
	}
	return row.divide(list, ch, sources)
}

// longestRow returns the longest row of a chain, the first one of several; an empty one if there is
// none.
func longestRow(rules []plan.ChainRule, named map[string]*plan.Set) (longest sourceRow) {
	var row sourceRow
	for i := range rules {
		family, bits, ok := sourceLookUp(&rules[i], named)
		switch {
		case !ok:
			row = sourceRow{}
			continue
		case row.family != family:
			row = sourceRow{family: family, from: i, bits: bits}
		}
		row.to, row.bits = i+1, min(row.bits, bits)
		if row.to-row.from > longest.to-longest.from {
			longest = row
		}
	}
	return longest
}

// sourceLookUp reports whether all that a rule does is to look into a map by exact keys that
// contain the source, and how many leading bits of it.
func sourceLookUp(r *plan.ChainRule, named map[string]*plan.Set) (family plan.Family, bits uint8, ok bool) {
	name, at, bits := sourceKey(r)
	family = versionOf(r)
	if s := named[name]; s == nil || s.Interval || at < 0 || len(r.Matches) != 1 || family == 0 {
		return 0, 0, false
	}
	if bits == 0 {
		bits = uint8(8 * fieldsOf(family).src.Type().Width())
	}
	return family, bits, bits >= widestSource(family)
}

// sourceKey returns the map that a rule looks into, the place of the source among the fields of its
// key, and how many leading bits of it count, 0 for all; the place is negative if there is none.
func sourceKey(r *plan.ChainRule) (name string, at int, bits uint8) {
	if len(r.Actions) != 1 {
		return "", -1, 0
	}
	switch a := r.Actions[0].(type) {
	case plan.VMap:
		if a.Mask == 0 && isSource(a.Field) {
			return a.Set, 0, a.Prefix
		}
	case plan.ConcatVMap:
		if at = slices.IndexFunc(a.Fields.List(), isSource); at >= 0 {
			return a.Set, at, a.Prefixes[at]
		}
	}
	return "", -1, 0
}

func isSource(f plan.Field) bool { return f == plan.FieldIPSAddr || f == plan.FieldIP6SAddr }

// sources returns what the row's maps have of sources, sorted, as prefixes of the row's bits; nil
// if these are too many to pay.
func (row sourceRow) sources(rules []plan.ChainRule, named map[string]*plan.Set) []plan.Key {
	total := 0
	for i := row.from; i < row.to; i++ {
		name, _, _ := sourceKey(&rules[i])
		total += len(named[name].Elements) + len(named[name].Tuples)
	}
	most := max(fewSources, total/sourcesPart)
	mask := plan.PrefixMask(fieldsOf(row.family).src.Type(), int(row.bits))
	known := map[plan.Key]bool{}
	for i := row.from; i < row.to; i++ {
		name, at, _ := sourceKey(&rules[i])
		for k := range keysAt(named[name], at) {
			if known[k.And(mask)] = true; len(known) > most {
				return nil
			}
		}
	}
	list := slices.Collect(maps.Keys(known))
	sorting.Func(list, plan.Key.Compare)
	return list
}

// keysAt yields the values of one field of a map's keys.
func keysAt(s *plan.Set, at int) iter.Seq[plan.Key] {
	return func(yield func(plan.Key) bool) {
		for i := range s.Elements {
			if !yield(s.Elements[i].From) {
				return
			}
		}
		for i := range s.Tuples {
			if !yield(s.Tuples[i].FromAt(s.Concat, at)) {
				return
			}
		}
	}
}

// divide makes the chains and the map. The first chain has the name of the whole.
func (row sourceRow) divide(list string, ch plan.Chain, sources []plan.Key) ([]plan.Chain, []plan.Set) {
	src := fieldsOf(row.family).src
	look := plan.VMap{Field: src, Set: list + row.mapSuffix()}
	if int(row.bits) < 8*src.Type().Width() {
		look.Prefix = row.bits
		look.Set += "/" + strconv.Itoa(int(row.bits))
	}
	known := plan.Chain{Name: ch.Name + "-sources", Rules: slices.Clone(ch.Rules[row.from:row.to])}
	s := plan.Set{Name: look.Set, Type: src.Type(), Map: true, Comment: "sources of " + known.Name}
	for _, k := range sources {
		s.Elements = append(s.Elements, going(k, known.Name))
	}
	first := plan.Chain{Name: ch.Name, Rules: slices.Clone(ch.Rules[:row.from])}
	first.Rules = append(first.Rules, rule("sources that policies name", when(plan.NFProto(row.family)), look))
	chains := []plan.Chain{known}
	if row.to < len(ch.Rules) {
		rest := plan.Chain{Name: ch.Name + "-others", Rules: ch.Rules[row.to:]}
		onward := rule("", nil, gotoChain(rest.Name))
		chains[0].Rules, first.Rules = append(known.Rules, onward), append(first.Rules, onward)
		chains = append(chains, rest)
	}
	return append(chains, first), []plan.Set{s}
}

func (row sourceRow) mapSuffix() string {
	if row.family == plan.IPv4 {
		return "-ip-sources"
	}
	return "-ip6-sources"
}
