//go:build linux && (amd64 || arm64 || riscv64 || s390x)

package nft

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	library "github.com/google/nftables/expr"

	"pbr/compiler/plan"
)

// TestLibraryReadsTheSame decodes what this package applied, and what nft made of the same text, by
// google/nftables, which shares no code with our own encoder and decoder. It is this package's
// oracle and no more: it leaves Byteorder and Rt expressions out, cannot read ct expressions of one
// direction, cannot write counter comments, byte orders of map data and echo flags, and does not
// build where an int has 32 bits.
func TestLibraryReadsTheSame(t *testing.T) {
	// The kernel's NFTA_CT_DIRECTION has 8 bits, the library reads 32.
	readable := slices.DeleteFunc(slices.Clone(statements), func(s statement) bool {
		return slices.ContainsFunc(s.rule.Matches, func(m plan.Match) bool { return m.Field == plan.FieldCTOrigDPort })
	})
	want, script := wideOf(readable)
	text, ours := newNetns(t), newNetns(t)
	text.load(script)
	ours.apply(want)
	byText, byNetlink := text.readByLibrary(), ours.readByLibrary()
	if len(byNetlink.rules) < len(readable) {
		t.Fatalf("the library reads %d rules, the table has at least %d", len(byNetlink.rules), len(readable))
	}
	for name, rules := range map[string][2][]string{"rules": {byText.rules, byNetlink.rules}, "sets": {byText.sets, byNetlink.sets}} {
		for i := range max(len(rules[0]), len(rules[1])) {
			if i >= len(rules[0]) || i >= len(rules[1]) || rules[0][i] != rules[1][i] {
				t.Fatalf("%s differ at %d:\nby text %v\nby us   %v", name, i, at(rules[0], i), at(rules[1], i))
			}
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "nothing"
}

// libraryReading is a table as google/nftables reads it, a line each.
type libraryReading struct{ rules, sets []string }

func (n *netns) readByLibrary() (got libraryReading) {
	n.t.Helper()
	done := make(chan error)
	n.work <- func() {
		c, err := nftables.New()
		if err == nil {
			got, err = readTable(c)
		}
		done <- err
	}
	if err := <-done; err != nil {
		n.t.Fatalf("google/nftables: %v", err)
	}
	return got
}

func readTable(c *nftables.Conn) (got libraryReading, err error) {
	table := &nftables.Table{Name: plan.TableName, Family: nftables.TableFamilyINet}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return got, err
	}
	slices.SortFunc(chains, func(a, b *nftables.Chain) int { return strings.Compare(a.Name, b.Name) })
	for _, ch := range chains {
		rules, err := c.GetRules(table, ch)
		if err != nil {
			return got, err
		}
		for _, r := range rules {
			got.rules = append(got.rules, ch.Name+" "+describeExprs(r.Exprs))
		}
	}
	sets, err := c.GetSets(table)
	if err != nil {
		return got, err
	}
	slices.SortFunc(sets, func(a, b *nftables.Set) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range sets {
		if s.Anonymous {
			continue
		}
		elements, err := c.GetSetElements(s)
		if err != nil {
			return got, err
		}
		got.sets = append(got.sets, describeLibrarySet(s, elements))
	}
	return got, nil
}

func describeExprs(exprs []library.Any) string {
	var b strings.Builder
	for _, e := range exprs {
		switch x := e.(type) {
		case *library.Lookup:
			if strings.HasPrefix(x.SetName, "__") {
				x.SetName = "anonymous" // its number is the kernel's choice
			}
		case *library.Counter:
			x.Bytes, x.Packets = 0, 0
		}
		fmt.Fprintf(&b, "%s%+v; ", reflect.TypeOf(e).Elem().Name(), reflect.ValueOf(e).Elem())
	}
	return b.String()
}

// describeLibrarySet has a set's type and its elements, sorted: the kernel lists them in the order
// of its hash.
func describeLibrarySet(s *nftables.Set, elements []nftables.SetElement) string {
	slices.SortFunc(elements, func(a, b nftables.SetElement) int {
		return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.KeyEnd, b.KeyEnd))
	})
	lines := []string{fmt.Sprintf("%s key %s data %s map %v interval %v", s.Name, s.KeyType.Name, s.DataType.Name, s.IsMap, s.Interval)}
	for _, e := range elements {
		if e.IntervalEnd && len(bytes.Trim(e.Key, "\x00")) == 0 {
			continue // nft begins a set of intervals by the end of nothing
		}
		lines = append(lines, fmt.Sprintf("%x-%x end %v: %x", e.Key, e.KeyEnd, e.IntervalEnd, e.Val))
	}
	return strings.Join(lines, "\n")
}
