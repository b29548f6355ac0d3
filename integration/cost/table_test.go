package cost

import (
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// result is what was measured of a workload.
type result struct {
	workload workload
	// costs are those of each command, one a round.
	costs [len(commands)][]cost
}

// typical are the medians of a command.
func (r *result) typical(command int) (cpu time.Duration, memory int64) {
	var times []time.Duration
	var sizes []int64
	for _, c := range r.costs[command] {
		times, sizes = append(times, c.cpu), append(sizes, c.memory)
	}
	slices.Sort(times)
	slices.Sort(sizes)
	return times[len(times)/2], sizes[len(sizes)/2]
}

// rounds is how often each command is measured.
func (w workload) rounds() int {
	switch n := w.policies + w.addresses; {
	case *rounds > 0:
		return *rounds
	case n <= 1_000:
		return 11
	case n <= 10_000:
		return 7
	}
	return 3
}

// roundsOf says how often each command was measured.
func roundsOf() string {
	if *rounds > 0 {
		return fmt.Sprintf("%d rounds", *rounds)
	}
	return "3 to 11 rounds"
}

// writeTable prints a table as Markdown: CPU in seconds, in brackets as part of that of the frozen
// ruleset, and peak memory.
func writeTable(w io.Writer, what string, list []*result) {
	if len(list) == 0 {
		return
	}
	head, line := []string{what}, []string{"---"}
	for _, r := range list {
		head, line = append(head, thousands(r.workload.policies+r.workload.addresses)), append(line, "---")
	}
	writeRow(w, head)
	writeRow(w, line)
	for i, c := range commands {
		row := []string{c.name}
		for _, r := range list {
			row = append(row, r.cell(i))
		}
		writeRow(w, row)
	}
	fmt.Fprintln(w)
}

// cell is what a command costs; the first command is the one that others are compared with.
func (r *result) cell(command int) string {
	cpu, memory := r.typical(command)
	base, _ := r.typical(0)
	text := seconds(cpu)
	if command > 0 {
		text += " (" + digits(float64(cpu)/float64(base)) + ")"
	}
	return fmt.Sprintf("%s, %d MiB", text, (memory+512)>>10)
}

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.4f", d.Seconds())
	}
	return digits(d.Seconds())
}

// digits writes a number with two or three digits that count.
func digits(f float64) string {
	switch {
	case f < 0.1:
		return fmt.Sprintf("%.3f", f)
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.1f", f)
}

func writeRow(w io.Writer, fields []string) {
	fmt.Fprintf(w, "| %s |\n", strings.Join(fields, " | "))
}

// nftVersion is such as "nft 1.0.6".
func nftVersion() string {
	out, err := exec.Command("nft", "--version").Output()
	if err != nil {
		return "nft of unknown version"
	}
	version := strings.Fields(string(out))
	return "nft " + strings.TrimPrefix(version[min(1, len(version)-1)], "v")
}
