package main

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/sorting"
	"pbr/render/plot"
)

// statusScreen is what status --watch shows on a terminal.
type statusScreen struct {
	status   *statusResult
	measured []daemon.Measured
	// events are the oldest first.
	events []daemon.PastEvent
	now    time.Time
}

// Widths of columns, and the least room for a plot.
const (
	nameWidth, stateWidth, sinceWidth, rttWidth, lossWidth = 12, 13, 7, 8, 5
	leastPlot, mostPlot                                    = 6, 40
)

// lines writes the screen for a terminal's size; none is longer than it is wide, and there are no
// more than it has rows.
func (s *statusScreen) lines(width, height int, paint bool) []string {
	p := &painter{width: max(width, 20), paint: paint}
	p.add(p.tint(bold, s.head()), "")
	p.uplinks(s, max(3, (height-8)/2))
	p.add("")
	p.ways(s, max(2, (height-len(p.lines)-4)/2))
	if s.status.Together != "" {
		p.add(p.tint(yellow, s.status.Together))
	}
	for _, note := range s.status.Policy.notes {
		p.add(p.tint(yellow, note))
	}
	p.add("")
	p.events(s, height-len(p.lines)-3)
	p.lines = p.lines[:min(len(p.lines), max(height-1, 1))]
	for len(p.lines) < height-1 {
		p.lines = append(p.lines, "")
	}
	p.add(p.tint(dim, "q ends"))
	return p.lines[:min(len(p.lines), height)]
}

// Escape sequences (ECMA-48).
const (
	bold = "\x1b[1m"
	dim  = "\x1b[2m"
)

func (s *statusScreen) head() string {
	usable := 0
	for i := range s.status.Uplinks {
		if s.status.Uplinks[i].Usable {
			usable++
		}
	}
	who := "pbr watch is not running"
	if w := s.status.Watch; w != nil {
		who = fmt.Sprintf("pbr watch for %s, %s", span(s.now.Sub(w.Since)), w.Policy)
	}
	return fmt.Sprintf("%s  %d of %d usable  %s", s.now.Format("15:04:05"), usable, len(s.status.Uplinks), who)
}

// painter gathers lines.
type painter struct {
	width int
	paint bool
	lines []string
}

// add adds lines, cut to the terminal's width.
func (p *painter) add(lines ...string) {
	for _, l := range lines {
		p.lines = append(p.lines, cut(l, p.width))
	}
}

func (p *painter) tint(sequence, text string) string {
	if !p.paint || sequence == "" {
		return text
	}
	return sequence + text + noColour
}

// cut shortens a line to a number of columns; escape sequences take none, and are ended.
func cut(line string, width int) string {
	columns, escaped := 0, false
	for i, r := range line {
		switch {
		case r == '\x1b':
			escaped = true
		case escaped:
			escaped = r != 'm'
		case columns == width:
			if strings.ContainsRune(line, '\x1b') {
				return line[:i] + noColour
			}
			return line[:i]
		default:
			columns++
		}
	}
	return line
}

// cell is a text in a column: padded, or cut.
func cell(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n > width {
		return string([]rune(text)[:width-1]) + "… "
	}
	return text + strings.Repeat(" ", width-n+1)
}

// screenRow is a line in one IP version, or of both while they agree.
type screenRow struct {
	name, version string
	check         checkStatus
}

// uplinks writes the lines, those that are not usable first where there is no room for all.
func (p *painter) uplinks(s *statusScreen, room int) {
	fixed := nameWidth + stateWidth + sinceWidth + rttWidth + lossWidth + 5
	plots := min(max((p.width-fixed)/2-1, 0), mostPlot)
	if plots < leastPlot {
		plots = 0
	}
	head := cell("UPLINK", nameWidth) + cell("STATE", stateWidth) + cell("SINCE", sinceWidth) + cell("RTT", rttWidth)
	if plots > 0 {
		head += cell("", plots)
	}
	p.add(p.tint(dim, head+"LOSS"))
	var rows []screenRow
	for i := range s.status.Uplinks {
		rows = append(rows, screenRows(&s.status.Uplinks[i])...)
	}
	var left []screenRow
	if len(rows) > room {
		sorting.Func(rows, func(a, b screenRow) int { return int(rank(a.check)) - int(rank(b.check)) })
		left, rows = rows[room-1:], rows[:room-1]
	}
	top := 0.0
	for _, m := range s.measured {
		for _, v := range m.RTT {
			top = max(top, float64(v))
		}
	}
	for _, r := range rows {
		rtt, loss := s.plots(&r, plots, top)
		text := cell(r.name, nameWidth) + p.tint(stateColour(r.check), cell(r.check.State, stateWidth)) + cell(
			sinceText(s.now, r.check.Since), sinceWidth) + cell(rttText(r.check), rttWidth)
		if plots > 0 {
			text += rtt + " "
		}
		text += cell(lossText(r.check), lossWidth)
		if plots > 0 {
			text += loss
		}
		p.add(strings.TrimRight(text, " "))
	}
	if len(left) > 0 {
		p.add(p.tint(dim, fmt.Sprintf("and %d more (%s): pbr status --all lists them", len(left), statesOf(left))))
	}
}

// statesOf counts the states of rows, in the order of the rows.
func statesOf(rows []screenRow) string {
	var states []string
	count := map[string]int{}
	for _, r := range rows {
		if count[r.check.State]++; count[r.check.State] == 1 {
			states = append(states, r.check.State)
		}
	}
	for i, state := range states {
		states[i] = fmt.Sprintf("%d %s", count[state], state)
	}
	return strings.Join(states, ", ")
}

// rank is 0 for what needs attention.
func rank(c checkStatus) uint8 {
	switch {
	case c.failed():
		return 0
	case !c.Usable:
		return 1
	}
	return 2
}

func screenRows(u *uplinkStatus) (rows []screenRow) {
	versions := u.rows()
	if versions == nil {
		return []screenRow{{name: u.Name, check: u.checkStatus}}
	}
	for _, v := range versions {
		rows = append(rows, screenRow{u.Name + " " + strings.Replace(v, "ipv", "IPv", 1), v, u.Versions[v]})
	}
	return rows
}

// plots are the last round trips and losses of a row as characters.
func (s *statusScreen) plots(r *screenRow, width int, top float64) (rtt, loss string) {
	for i := range s.measured {
		m := &s.measured[i]
		if name, _, _ := strings.Cut(r.name, " "); m.Uplink != name || r.version != "" && r.version != fmt.Sprintf("ipv%d", m.Version) {
			continue
		}
		return plot.Spark(lastOnes(m.RTT, width), top), plot.Spark(lastOnes(m.Loss, width), 1)
	}
	return strings.Repeat(" ", width), ""
}

// lastOnes are the last n values; what is not known is not a number.
func lastOnes(values []float32, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
		if at := len(values) - n + i; at >= 0 && values[at] >= 0 {
			out[i] = float64(values[at])
		}
	}
	return out
}

func sinceText(now time.Time, since *time.Time) string {
	if since == nil {
		return "-"
	}
	return span(now.Sub(*since))
}

func rttText(c checkStatus) string {
	if c.RTT <= 0 {
		return "-"
	}
	return inMilliseconds(c.RTT)
}

func lossText(c checkStatus) string {
	if c.Loss == nil {
		return "-"
	}
	return inPercent(*c.Loss)
}

// ways writes which uplinks the tables and balances use now.
func (p *painter) ways(s *statusScreen, room int) {
	var rows []string
	for _, t := range s.status.Tables {
		ways := []string{}
		for _, a := range t.Active {
			text := strings.Join(a.Uplinks, " + ")
			if len(a.Uplinks) == 0 {
				text = "unreachable"
			}
			if a.Kept && len(a.Uplinks) > 0 {
				text += " (kept)"
			}
			ways = append(ways, destination(a)+" "+text)
		}
		if len(ways) == 0 {
			ways = append(ways, "none")
		}
		rows = append(rows, cell(t.Name, nameWidth)+strings.Join(ways, ", "))
	}
	for _, b := range s.status.Balances {
		var takes []string
		for _, m := range b.Members {
			if len(m.Usable) > 0 {
				takes = append(takes, m.Name)
			}
		}
		rows = append(rows, cell(b.Name, nameWidth)+"balance: "+dash(strings.Join(takes, ", ")))
	}
	p.add(p.tint(dim, cell("TABLE", nameWidth)+"USES NOW"))
	for i, r := range rows {
		if i == room-1 && len(rows) > room {
			p.add(p.tint(dim, fmt.Sprintf("and %d more", len(rows)-i)))
			return
		}
		p.add(r)
	}
}

// events writes the last ones, the newest first.
func (p *painter) events(s *statusScreen, room int) {
	if room < 1 {
		return
	}
	p.add(p.tint(dim, cell("EVENT", nameWidth)+"LAST CHANGES"))
	for i := len(s.events) - 1; i >= 0 && room > 0; i, room = i-1, room-1 {
		e := s.events[i]
		version := ""
		if e.Version != "both" {
			version = " IPv" + e.Version
		}
		at := e.Time.Local().Format("15:04:05")
		if s.now.Sub(e.Time) > 24*time.Hour {
			at = e.Time.Local().Format("Jan _2")
		}
		colour := green
		if e.To.Failed() {
			colour = red
		}
		p.add(fmt.Sprintf("%s%s%s %s  %s", cell(at, nameWidth), e.Uplink, version, p.tint(colour, string(e.To)), e.Reason))
	}
	if len(s.events) == 0 {
		p.add("none yet")
	}
}
