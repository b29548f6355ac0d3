package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// printMap prints each package with its lines and the packages of pbr that it imports.
func (t *tree) printMap() {
	fmt.Println("| package | lines | tests | imports |\n| --- | ---: | ---: | --- |")
	for _, name := range slices.Sorted(maps.Keys(t.packages)) {
		p := t.packages[name]
		slices.Sort(p.imports)
		fmt.Printf("| %s | %d | %d | %s |\n", name, p.lines, p.tests, strings.Join(p.imports, ", "))
	}
}

func (t *tree) printAnchors() {
	fmt.Println("| what | measured |\n| --- | --- |")
	row := func(what, format string, args ...any) {
		fmt.Printf("| %s | %s |\n", what, fmt.Sprintf(format, args...))
	}
	row("functions: median, 95 %, longest, in lines", "%d, %d, %d of %d", at(t.functions, 50), at(t.functions, 95),
		at(t.functions, 100), len(t.functions))
	row("files: median, 95 %, longest, in lines", "%d, %d, %d of %d", at(t.files, 50), at(t.files, 95), at(t.files, 100), len(t.files))
	row("share of comments in code without tests", "%.0f %%", 100*float64(t.comments)/float64(max(t.lines, 1)))
	row("subtests for each test", "%.2f (%d, %d)", float64(t.subtests)/float64(max(t.tests, 1)), t.subtests, t.tests)
	row("predicates whose comment says \"reports whether\"", "%d of %d", t.predicatesWithGos, t.predicates)
	row(fmt.Sprintf("lines of comments over %d columns", longComment), "%d", t.longComments)
	row(fmt.Sprintf("other lines of code over %d columns", longCode), "%d", t.longCode)
	row(fmt.Sprintf("pages; their lines; lines over %d columns outside of tables and blocks", longPage), "%d; %d; %d",
		t.pages, t.pageLines, t.longPages)
}

// at returns the value below which so many percent of the values are.
func at(values []int, percent int) int {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)*percent/100, len(values)-1)]
}
