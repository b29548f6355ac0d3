package main

import (
	"fmt"
	"strings"
)

const (
	// foldAbove is how many uplinks, tables, members of a balance, or rules status shows one by
	// one.
	foldAbove = 30
	// foldNames is how many of those alike are named, and how many alike have lines of their own.
	foldNames = 3
)

// folding is what a text leaves out: nothing, or what is alike where there is too much of it.
type folding bool

// few reports whether n of a kind have lines of their own.
func (f folding) few(n int) bool { return !bool(f) || n <= foldAbove }

// alike splits a list into what has lines of its own, those with a problem first, and groups of
// what has the same key. An empty key is a problem; a group of a few stays apart.
func alike[T any](list []T, key func(*T) string) (apart []T, groups [][]T) {
	byKey := map[string]int{}
	for i := range list {
		byKey[key(&list[i])]++
	}
	var rest []T
	at := map[string]int{}
	for i := range list {
		k := key(&list[i])
		switch n, known := at[k]; {
		case k == "":
			apart = append(apart, list[i])
		case byKey[k] <= foldNames:
			rest = append(rest, list[i])
		case known:
			groups[n] = append(groups[n], list[i])
		default:
			at[k], groups = len(groups), append(groups, []T{list[i]})
		}
	}
	return append(apart, rest...), groups
}

// someNames names the first few of a list.
func someNames(names []string, separator string) string {
	if len(names) <= foldNames {
		return strings.Join(names, separator)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:foldNames], separator), len(names)-foldNames)
}

// join joins names, or the first few where there are too many.
func (f folding) join(names []string, separator string) string {
	if f.few(len(names)) {
		return strings.Join(names, separator)
	}
	return someNames(names, separator)
}

// hint says how to see what is left out; empty if nothing is.
func (f folding) hint(s *statusResult) string {
	members, hops := 0, 0
	for i := range s.Balances {
		members = max(members, len(s.Balances[i].Members))
	}
	for i := range s.Tables {
		for _, a := range s.Tables[i].Active {
			hops = max(hops, len(a.Uplinks))
		}
	}
	if f.few(max(len(s.Uplinks), len(s.Tables), len(s.Rules), members, hops)) && f.fewPolicies(s) {
		return ""
	}
	return "pbr status --all shows what is summed up or left out here"
}

// spread is the least and the most of values.
type spread struct {
	least, most float64
	any         bool
}

func (s *spread) add(v float64) {
	if !s.any {
		*s = spread{v, v, true}
	}
	s.least, s.most = min(s.least, v), max(s.most, v)
}

// text has both ends, or one of them if they look the same.
func (s *spread) text(format func(float64) string) string {
	if !s.any {
		return "-"
	}
	least, most := format(s.least), format(s.most)
	if least == most {
		return least
	}
	return least + " to " + most
}
