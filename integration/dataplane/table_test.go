package dataplane

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"pbr/integration/page"
)

// write prints the tables as Markdown: on what they were measured, one for each family, then what
// was aimed at, then what does not count.
func (res *results) write(w io.Writer) {
	fmt.Fprintf(w, "%s; %d rounds.\n\n", page.Machine(), len(res.floor[cells()[0]]))
	for _, f := range []family{v4, v6} {
		res.writeFamily(w, f)
	}
	res.writeAims(w)
	res.writeLosses(w)
}

// writeLosses says what does not count, and why.
func (res *results) writeLosses(w io.Writer) {
	for _, m := range res.rows {
		for _, c := range cells() {
			if why := m.lost[c]; why != "" {
				fmt.Fprintf(w, "%s, %v does not count: %s.\n", m.name, c, why)
			}
		}
	}
}

func (res *results) writeFamily(w io.Writer, f family) {
	names, lines := []string{f.String()}, []string{"---"}
	var columns []cell
	for _, s := range streams {
		columns = append(columns, cell{s, f})
		names, lines = append(names, s.name), append(lines, "---")
	}
	writeRow(w, names)
	writeRow(w, lines)
	to := res.find(base)
	for _, m := range res.rows {
		row := []string{m.name}
		for _, c := range columns {
			q, ok := res.ratio(m, to, []cell{c})
			switch {
			case !ok:
				row = append(row, "-")
			case m == to:
				row = append(row, fmt.Sprintf("1 (%.0f ns)", res.typical(m, c)))
			default:
				row = append(row, q.String())
			}
		}
		writeRow(w, row)
	}
	fmt.Fprintln(w)
}

func writeRow(w io.Writer, fields []string) {
	fmt.Fprintf(w, "| %s |\n", strings.Join(fields, " | "))
}

// aim is what the mean of some streams should cost at most, of another row, by family; 0 for no
// aim.
type aim struct {
	what    string
	row, to fmt.Stringer
	streams []string
	most    [2]float64
}

// baseRow is the name of the base.
type baseRow struct{}

func (baseRow) String() string { return base }

var (
	established = []string{"upload", "download", "upload by policy", "download by policy"}
	anyNew      = []string{"new", "new by policy"}
)

var aims = []aim{
	{"established, reverse-path nft", pbrSetUp{1000, 2, "nft"}, baseRow{}, established, [2]float64{1.25, 1.25}},
	{"its dearest: upload by policy", pbrSetUp{1000, 2, "nft"}, baseRow{}, established[2:3], [2]float64{1.33, 1.35}},
	{"established, reverse-path kernel", pbrSetUp{1000, 2, ""}, baseRow{}, established, [2]float64{1.6, 0}},
	{"new, 1,000 policies, reverse-path nft", pbrSetUp{1000, 2, "nft"}, baseRow{}, anyNew[:1], [2]float64{1.5, 1.55}},
	{"the same, by policy", pbrSetUp{1000, 2, "nft"}, baseRow{}, anyNew[1:], [2]float64{1.58, 1.63}},
	{"new, 10,000 policies, reverse-path nft", pbrSetUp{10_000, 2, "nft"}, baseRow{}, anyNew[:1], [2]float64{1.65, 0}},
	{"the same, by policy", pbrSetUp{10_000, 2, "nft"}, baseRow{}, anyNew[1:], [2]float64{1.8, 0}},
	{"established with 10,000 policies, of 10", pbrSetUp{10_000, 2, ""}, pbrSetUp{10, 2, ""}, established, [2]float64{1.02, 1.02}},
	{"established with 200 tables, of 2", pbrSetUp{1000, 200, ""}, pbrSetUp{1000, 2, ""}, established, [2]float64{1.1, 1.1}},
}

// writeAims compares with the aims whose rows were measured; a figure is the mean of its streams.
func (res *results) writeAims(w io.Writer) {
	measured := slices.DeleteFunc(slices.Clone(aims), func(a aim) bool {
		return res.find(a.row.String()) == nil || res.find(a.to.String()) == nil
	})
	if len(measured) == 0 {
		return
	}
	writeRow(w, []string{"what", v4.String(), "aim", v6.String(), "aim"})
	writeRow(w, []string{"---", "---", "---", "---", "---"})
	for _, a := range measured {
		row := []string{a.what}
		for _, f := range []family{v4, v6} {
			var in []cell
			for _, c := range cells() {
				if c.family == f && slices.Contains(a.streams, c.name) {
					in = append(in, c)
				}
			}
			text, most := "-", "-"
			if q, ok := res.ratio(res.find(a.row.String()), res.find(a.to.String()), in); ok {
				text = q.String()
			}
			if a.most[f] > 0 {
				most = fmt.Sprintf("%.2f", a.most[f])
			}
			row = append(row, text, most)
		}
		writeRow(w, row)
	}
	fmt.Fprintln(w)
}
