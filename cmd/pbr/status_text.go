package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"pbr/cmd/pbr/cli"
	"pbr/compiler/plan"
	"pbr/healthcheck"
	"pbr/render"
)

// Escape sequences (ECMA-48): to the upper left corner and clear; colours.
const (
	clearScreen = "\x1b[H\x1b[2J"
	green       = "\x1b[32m"
	yellow      = "\x1b[33m"
	red         = "\x1b[31m"
	noColour    = "\x1b[0m"
)

// printStatus prints the status as JSON or tables; all of it at once, so that a refreshed one does
// not flicker.
func (c command) printStatus(ctx *cli.Context, s *statusResult) error {
	if ctx.Bool("json") {
		return printJSON(c.stdout, s)
	}
	b := page{width: columns(c.stdout)}
	if ctx.Bool("watch") && colour(c.stdout) {
		b.WriteString(clearScreen)
	}
	for _, note := range s.Policy.notes {
		fmt.Fprintln(&b, render.Wrap(note, b.width, 0))
	}
	folding(!ctx.Bool("all")).writeStatus(&b, s, time.Now(), colour(c.stdout))
	if _, err := c.stdout.Write(b.Bytes()); err != nil {
		return err
	}
	if s.note != "" {
		fmt.Fprintf(c.stderr, "pbr: %s\n", s.note)
	}
	return nil
}

// failureShown is how long the last failure of an uplink that is in use again is worth a column;
// --json has it for ever.
const failureShown = 24 * time.Hour

func (fold folding) writeStatus(w io.Writer, s *statusResult, now time.Time, paint bool) {
	if s.Watch == nil {
		fmt.Fprintln(w, "pbr watch is not running: states show link status, manual overrides and the last known health")
	} else {
		fmt.Fprintf(w, "pbr watch: process %d, for %s, policy %s read %s ago\n", s.Watch.PID,
			span(now.Sub(s.Watch.Since)), s.Watch.Policy, span(now.Sub(s.Watch.PolicyLoaded)))
	}
	s.Domains.write(w, now)
	rows := [][]string{{"UPLINK", "INTERFACE", "STATE", "SINCE", "RTT", "JITTER", "LOSS", "CONNECTIONS", "BYTES", "LAST FAILURE"}}
	tints, comments := []string{""}, []string(nil)
	for _, row := range fold.uplinkTable(s.Uplinks, now) {
		rows, tints, comments = append(rows, row.cells), append(tints, stateColour(row.check)), append(comments, row.comment)
	}
	rows = append(rows, []string{"(unmarked)", "-", "-", "-", "-", "-", "-", fmt.Sprint(s.Unmarked.Connections),
		size(s.Unmarked.Bytes), "-"})
	fmt.Fprintln(w)
	writeRows(w, withComments(rows, append(comments, "")), func(row, column int) string {
		if !paint || column != 2 || row >= len(tints) {
			return ""
		}
		return tints[row]
	})
	if lines := fold.quotaLines(s.Uplinks); len(lines) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(lines, "\n"))
	}
	if s.Together != "" {
		fmt.Fprintf(w, "\n%s\n", s.Together)
	}
	rows, comments = fold.routeTable(s.Tables)
	writeTable(w, withComments(append([][]string{{"TABLE", "DESTINATION", "ROUTE"}}, rows...), comments))
	rows, comments = fold.balanceTable(s.Balances)
	writeTable(w, withComments(append([][]string{{"BALANCE", "MEMBER", "WEIGHT", "TAKES", "CLIENTS"}}, rows...), comments))
	fold.writeSteering(w, s)
	if hint := fold.hint(s); hint != "" {
		fmt.Fprintf(w, "\n%s\n", hint)
	}
	if s.Clock != "" {
		fmt.Fprintf(w, "\n%s\n", s.Clock)
	}
	if len(s.Disabled) > 0 {
		fmt.Fprintf(w, "\ndisabled: %s\n", disabledText(s.Disabled))
	}
	if len(s.Fallbacks) > 0 {
		fmt.Fprintln(w)
	}
	for _, f := range s.Fallbacks {
		fmt.Fprintln(w, f)
	}
	for _, b := range s.Balances {
		if b.Full != nil && *b.Full > 0 {
			fmt.Fprintf(w, "%s: the client map was full %d times: increase size of sticky in the policy\n", b.Name, *b.Full)
		}
	}
}

// onFirst is a comment on the first of an object's rows.
func onFirst(row int, comment string) string {
	if row > 0 {
		return ""
	}
	return comment
}

// writeTable writes rows without colours after an empty line, if there are any below the head.
func writeTable(w io.Writer, rows [][]string) {
	if len(rows) > 1 {
		fmt.Fprintln(w)
		writeRows(w, rows, func(int, int) string { return "" })
	}
}

func stateColour(u checkStatus) string {
	switch {
	case u.State == string(healthcheck.Degraded), u.State == string(healthcheck.Unconfirmed):
		return yellow
	case u.State == string(healthcheck.Absent):
		return ""
	case !u.Usable:
		return red
	case u.State == string(healthcheck.Up):
		return green
	}
	return ""
}

// checkRow is a line of the table of uplinks.
type checkRow struct {
	cells   []string
	check   checkStatus
	comment string
}

// uplinkRows has one row while the versions agree, and one for each when they do not.
func uplinkRows(u uplinkStatus, now time.Time) (rows []checkRow) {
	versions := u.rows()
	if versions == nil {
		cells := append([]string{u.Name, u.Interface}, checkCells(u.checkStatus, now)...)
		cells[7], cells[8] = fmt.Sprint(u.Connections), size(u.Bytes)
		return []checkRow{{cells: cells, check: u.checkStatus}}
	}
	for i, v := range versions {
		check := u.Versions[v]
		cells := append([]string{u.Name + " " + strings.Replace(v, "ipv", "IPv", 1), u.Interface}, checkCells(check, now)...)
		if i == 0 {
			cells[7], cells[8] = fmt.Sprint(u.Connections), size(u.Bytes)
		}
		rows = append(rows, checkRow{cells: cells, check: check})
	}
	return rows
}

// checkCells are the columns from STATE to LAST FAILURE; the caller adds those between, about the
// uplink's use.
func checkCells(u checkStatus, now time.Time) []string {
	row := []string{u.State, "-", "-", "-", "-", "-", "-", "-"}
	if u.Since != nil {
		row[1] = span(now.Sub(*u.Since))
	}
	if u.RTT > 0 {
		row[2], row[3] = inMilliseconds(u.RTT), inMilliseconds(u.Jitter)
	}
	if u.Loss != nil {
		row[4] = inPercent(*u.Loss)
	}
	last := &row[7]
	switch {
	case u.ProbeError != "":
		*last = u.ProbeError
	case u.why != u.LastFailure && u.why != "" && !u.Usable: // no failed round
		*last = u.why
	case u.LastFailureAt != nil && (!u.Usable || now.Sub(*u.LastFailureAt) < failureShown):
		*last = fmt.Sprintf("%s, %s ago", u.LastFailure, span(now.Sub(*u.LastFailureAt)))
	case u.LastFailure != "" && !u.Usable: // what the link shows now
		*last = u.LastFailure
	}
	if u.HeldUntil != nil && u.HeldUntil.After(now) {
		// A wait of which less than a second is left has not ended yet.
		*last += fmt.Sprintf(" (flapping, %d times: held down for another %s)", u.Flaps, span(u.HeldUntil.Sub(now)+time.Second-1))
	}
	return row
}

func (f folding) tableRows(t tableStatus) (rows [][]string) {
	name := t.Name
	for _, a := range t.Active {
		rows = append(rows, []string{name, destination(a), f.routeText(a)})
		name = ""
	}
	if rows == nil {
		rows = [][]string{{name, "-", "none"}}
	}
	return rows
}

func destination(a activeRoute) string {
	if a.Destination != "default" {
		return a.Destination
	}
	if a.Family == plan.IPv4 {
		return "IPv4"
	}
	return "IPv6"
}

func (f folding) routeText(a activeRoute) string {
	if len(a.Uplinks) == 0 {
		return "unreachable"
	}
	hops := make([]string, len(a.Uplinks))
	for i := range hops {
		hops[i] = a.Uplinks[i] + " via " + a.Via[i]
	}
	text := fmt.Sprintf("%s, distance %d", f.join(hops, " + "), a.Metric)
	if a.Kept {
		text += " (not usable, kept: the table has no other)"
	}
	return text
}

// writeRows writes columns, each as wide as its widest cell. The last one is broken to fit a
// terminal. tint returns the escape sequence of a cell.
func writeRows(w io.Writer, rows [][]string, tint func(row, column int) string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		var line strings.Builder
		at := 0
		for j, cell := range row {
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)+2)
			if j == len(row)-1 {
				cell = lastCell(cell, columns(w), at)
			}
			at += widths[j] + 2
			if sequence := tint(i, j); sequence != "" {
				cell = sequence + cell + noColour
			}
			line.WriteString(cell)
			if j < len(row)-1 {
				line.WriteString(pad)
			}
		}
		fmt.Fprintln(w, line.String())
	}
}

// lastCell is the last cell of a row, which begins at a column: broken, or on lines of its own,
// where it does not fit.
func lastCell(cell string, width, at int) string {
	const indent = 4
	if width == 0 || at+utf8.RuneCountInString(cell) <= width {
		return cell
	}
	if broken := render.Wrap(cell, width, at); broken != cell {
		return broken
	}
	return "\n" + strings.Repeat(" ", indent) + render.Wrap(cell, width, indent)
}

// span is a duration for people: its two largest units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// size is a number of bytes for people.
func size(n *uint64) string {
	if n == nil {
		return "-"
	}
	if *n < 1024 {
		return fmt.Sprintf("%d B", *n)
	}
	exponent := min(int(math.Log2(float64(*n))/10), 6)
	return fmt.Sprintf("%.1f %ciB", float64(*n)/math.Exp2(float64(10*exponent)), "KMGTPE"[exponent-1])
}
