package from

import (
	"fmt"
	"strings"
)

// repeats is how many lines with one text the report has before it names the other lines' numbers
// only.
const repeats = 20

// Report is the account for people: what has to be done first, then by harm, then by line, then
// counts.
func (r *Result) Report(file string, warnings []string) string {
	w := reporter{file: file}
	if r.First != "" {
		w.line("%s: first: %s", file, r.First)
	}
	for _, severe := range []bool{true, false} {
		for _, s := range r.Statements {
			if s.severe == severe && !s.off {
				w.each(s, "not carried over: ", s.dropsTold())
			}
		}
	}
	w.endRepeats()
	for _, s := range r.Statements {
		if !s.off {
			w.each(s, "changed: ", s.changes)
		}
	}
	w.endRepeats()
	for _, text := range warnings {
		w.line("warning: %s", text)
	}
	w.foreign(r.Statements)
	for _, text := range r.Notes {
		w.line("%s: %s", file, text)
	}
	w.line("%s", r.footer())
	return w.b.String()
}

// dropsTold is drops; what was overlooked is reported as well.
func (s *Statement) dropsTold() []string {
	if !s.Accounted() {
		return []string{"pbr import does not know this statement"}
	}
	return s.drops
}

func (s *Statement) name() string {
	if _, what := s.Show(); what != "" {
		return s.Section + " " + what
	}
	return s.Section
}

type reporter struct {
	b    strings.Builder
	file string
	// seen counts the lines that tell the same; more has the numbers of those that are not told one
	// by one.
	seen  map[string]int
	more  map[string][]string
	order []string
}

func (w *reporter) line(format string, args ...any) {
	w.b.WriteString(Printable(fmt.Sprintf(format, args...)))
	w.b.WriteByte('\n')
}

func (w *reporter) each(s *Statement, what string, texts []string) {
	for _, text := range texts {
		if w.seen == nil {
			w.seen, w.more = map[string]int{}, map[string][]string{}
		}
		kind := strings.TrimSuffix(what, ": ") + "\x00" + s.Section + "\x00" + text
		if w.seen[kind]++; w.seen[kind] <= repeats || strings.HasPrefix(kind, "not") {
			w.line("%s: %s%s: %s", s.place(w.file), what, s.name(), text)
			continue
		}
		if len(w.more[kind]) == 0 {
			w.order = append(w.order, kind)
		}
		w.more[kind] = append(w.more[kind], fmt.Sprint(s.Line))
	}
}

// endRepeats names the lines that were not told one by one.
func (w *reporter) endRepeats() {
	for _, kind := range w.order {
		parts := strings.Split(kind, "\x00")
		w.line("%s: %s: %s: %s: the same for %s more, at lines %s", w.file, parts[0], parts[1], parts[2],
			fmt.Sprint(len(w.more[kind])), strings.Join(w.more[kind], ", "))
	}
	w.seen, w.more, w.order = nil, nil, nil
}

func (s *Statement) place(file string) string {
	if s.File != "" {
		file = s.File
	}
	return fmt.Sprintf("%s:%d", file, s.Line)
}

// foreign prints one line for each section that has nothing to do with routing.
func (w *reporter) foreign(all []*Statement) {
	counts, order := map[string]int{}, []string{}
	for _, s := range all {
		if s.Outcome() != Irrelevant {
			continue
		}
		file := w.file
		if s.File != "" {
			file = s.File
		}
		key := file + ": " + s.Section
		if counts[key] == 0 {
			order = append(order, key)
		}
		counts[key]++
	}
	for _, key := range order {
		w.line("%s: %s, nothing to do with routing", key, Count(counts[key], "statement"))
	}
}

// footer counts the outcomes.
func (r *Result) footer() string {
	n := map[Outcome]int{}
	for _, s := range r.Statements {
		n[s.Outcome()]++
	}
	text := fmt.Sprintf("%s: %d imported, %d merged, %d changed, %d not carried over", Count(len(r.Statements), "statement"),
		n[Imported], n[Merged], n[Changed], n[Dropped])
	if n[Disabled] > 0 {
		text += fmt.Sprintf(", %d disabled", n[Disabled])
	}
	if n[Irrelevant] > 0 {
		text += fmt.Sprintf(", %d nothing to do with routing", n[Irrelevant])
	}
	return text
}

// Count is a number with its noun.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func join(texts []string) string { return strings.Join(texts, "; ") }
