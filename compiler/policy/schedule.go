package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pbr/compiler/policy/internal/tomltree"
)

// Schedule is an entry of [schedules].
type Schedule struct {
	Pos   Pos
	Name  string
	Times []Times
	// Comment has those of its tables.
	Comment string
}

// Times are days and hours of a schedule, by the clock of a zone.
type Times struct {
	Pos Pos
	// Zone is the zone's name, empty for the machine's own; Location is nil then.
	Zone     string
	Location *time.Location
	Items    []ScheduleItem
	// Comment is for people.
	Comment string
}

// HasSchedule reports whether a policy depends on the time.
func HasSchedule(doc *Document) bool {
	return anyPolicy(doc, func(p *Policy) bool { return len(p.Schedule) > 0 })
}

// scheduleHint shows the forms of a schedule.
const scheduleHint = `write "mon-fri 08:00-18:00", { days = ["mon-fri"], from = "08:00", to = "18:00" }, or a name of [schedules]`

// readSchedules reads [schedules].
func (p *parser) readSchedules(s *section) {
	for i := range s.fields.List {
		f := &s.fields.List[i]
		f.Used = true
		sub := &section{p: p, fields: s.fields, path: s.path, label: fmt.Sprintf("schedule %q", f.Key), base: len(p.asked)}
		sched := Schedule{Pos: p.pos(f.Line, f.Col), Name: f.Key}
		if !validName(f.Key) {
			sub.errorAt(sched.Pos, codeBadName, f.Key, nameHint, "invalid name %q", f.Key)
		} else if _, fault := parseSchedule(f.Key); fault == nil {
			sub.errorAt(sched.Pos, codeBadName, f.Key, "choose another name", "%q is days or hours by itself", f.Key)
		}
		sched.Times = sub.times(f.Key, false)
		for i := range sched.Times {
			sched.Comment = joinComments(sched.Comment, sched.Times[i].Comment)
		}
		p.schedules[f.Key] = len(p.doc.Schedules)
		p.doc.Schedules = append(p.doc.Schedules, sched)
	}
	s.done()
}

// schedule reads a policy's schedule.
func (s *section) schedule(pol *Policy) {
	if s.fields.Get("schedule") == nil {
		s.get("schedule")
		return
	}
	pol.SchedulePos = s.keyPos("schedule")
	pol.Schedule = s.times("schedule", true)
	if f := s.fields.Get("schedule"); f.Value.Kind == tomltree.String {
		if _, named := s.p.schedules[f.Value.Text]; named {
			pol.ScheduleName = f.Value.Text
		}
	}
}

// windowEdges reads at-start and at-end: what happens to running connections when a window begins,
// and when it ends.
func (s *section) windowEdges(pol *Policy) {
	pol.FlushAtStart, pol.FlushAtEnd = s.windowEdge("at-start"), s.windowEdge("at-end")
}

// windowEdge reports whether connections are flushed then.
func (s *section) windowEdge(key string) bool {
	word, pos := s.word(key, "keep", "keep", "flush")
	if pos.Line != 0 && s.fields.Get("schedule") == nil {
		s.errorAt(s.keyPos(key), codeConflict, key, `add schedule = "mon-fri 08:00-18:00", or leave `+key+" out",
			"%s is for policies with a schedule: this one is always in force", key)
	}
	return word == "flush"
}

// InForce reports whether a policy counts at a time, by the zones of its schedule or else local.
func (p *Policy) InForce(now time.Time, local *time.Location) bool {
	return len(p.Schedule) == 0 || slices.ContainsFunc(p.Schedule, func(t Times) bool { return t.Holds(now, local) })
}

// times reads a schedule: a text, a table, or a list of these. Names of [schedules] are only for
// policies.
func (s *section) times(key string, names bool) (list []Times) {
	for n := range s.items(key) {
		pos := s.p.nodePos(n)
		switch {
		case n.Kind == tomltree.Table:
			if t, ok := s.timesTable(key, n); ok {
				list = append(list, t)
			}
		case n.Kind != tomltree.String:
			s.errorAt(pos, codeWrongType, key, scheduleHint, "want a string or an inline table { days = ... }, have %s", describe(n))
		default:
			list = append(list, s.timesText(key, n.Text, pos, names)...)
		}
	}
	return list
}

// timesText reads the short form, or a name.
func (s *section) timesText(key, text string, pos Pos, names bool) []Times {
	if i, ok := s.p.schedules[text]; ok && names {
		s.p.usedSchedules[text] = true
		return s.p.doc.Schedules[i].Times
	}
	items, f := parseSchedule(text)
	if f == nil {
		return []Times{{Pos: pos, Items: items}}
	}
	if !names {
		s.errorAt(pos, f.code, key, f.hint, "%s", f.message)
	} else if looksNamed(text) {
		s.errorAt(pos, codeUnknownName, key, suggestSchedule(text, s.p.schedules), "there is no schedule %q", text)
	} else {
		s.fault(pos, key, f)
	}
	return nil
}

// looksNamed reports whether a text is rather meant for a name than for days and hours.
func looksNamed(text string) bool { return validName(text) && !strings.Contains(text, ":") }

func suggestSchedule(name string, have map[string]int) string {
	if near := suggestName(name, slices.Sorted(maps.Keys(have)), ""); strings.HasPrefix(near, "did") {
		return near
	}
	return scheduleHint
}

// timesTable reads { days, from, to, timezone }.
func (s *section) timesTable(key string, n *tomltree.Node) (Times, bool) {
	t := s.p.section(n.Fields, s.key(key), s.title())
	if key != "schedule" {
		t.path = s.path + "." + key
	} else {
		t.label += ": schedule"
	}
	out := Times{Pos: s.p.nodePos(n)}
	item := ScheduleItem{}
	if t.fields.Get("days") == nil {
		item.Days = everyDay
	}
	for e := range t.entries("days", neverNegated, false) {
		days, ok := parseDays(e.text)
		if !ok {
			t.errorAt(e.pos, codeBadValue, "days", `write "mon", "mon-fri", "sat,sun"`, "invalid days %q", e.text)
			continue
		}
		item.Days |= days
	}
	var fromPos, toPos Pos
	item.From, fromPos = t.clock("from", 0)
	item.To, toPos = t.clock("to", dayMinutes)
	t.zone(&out)
	out.Comment = t.comment()
	t.done()
	if item.From == item.To || item.From == dayMinutes {
		pos := toPos
		if pos.Line == 0 {
			pos = fromPos
		}
		t.errorAt(pos, codeBadValue, "to", "", "from and to leave no time between them")
		return out, false
	}
	out.Items = item.overMidnight()
	return out, true
}

// clock reads a time of the day, in minutes.
func (s *section) clock(key string, absent int) (int, Pos) {
	v, pos := s.str(key)
	if pos.Line == 0 {
		return absent, pos
	}
	minutes, ok := parseClock(v)
	if !ok {
		s.errorAt(pos, codeBadValue, key, `write hours and minutes, as "08:00"; "24:00" is the day's end`,
			"%s: invalid time of day %q", key, v)
		return absent, pos
	}
	return minutes, pos
}

// zone reads timezone.
func (s *section) zone(t *Times) {
	name, pos := s.str("timezone")
	if pos.Line == 0 {
		return
	}
	loc, err := time.LoadLocation(name)
	if lack := s.p.opts.Lack; err != nil && !lack.has(FeatureZones) {
		s.errorAt(pos, codeNotBuiltIn, "timezone",
			"install the zones (as zoneinfo-europe on OpenWrt, tzdata on Debian), or use a full build",
			"this machine does not know the time zone %q, and this pbr was built with -tags %s, which leaves out %s",
			name, lack.Tag, featureTexts[FeatureZones])
		return
	}
	if err != nil || name == "Local" {
		s.errorAt(pos, codeUnknownName, "timezone",
			`write a name of the IANA database, as "Europe/Berlin"; leave it out for this machine's own`, "there is no time zone %q", name)
		return
	}
	t.Zone, t.Location = name, loc
}

// overMidnight makes two items of one that ends on the next day.
func (i ScheduleItem) overMidnight() []ScheduleItem {
	if i.From < i.To {
		return []ScheduleItem{i}
	}
	evening, morning := i, i
	evening.To, morning.From = dayMinutes, 0
	morning.Days = (i.Days<<1 | i.Days>>6) & everyDay
	if morning.To == 0 {
		return []ScheduleItem{evening}
	}
	return []ScheduleItem{evening, morning}
}

// Holds reports whether the times are now, by the zone or else local.
func (t *Times) Holds(now time.Time, local *time.Location) bool {
	if t.Location != nil {
		local = t.Location
	}
	now = now.In(local)
	minute := now.Hour()*60 + now.Minute()
	return slices.ContainsFunc(t.Items, func(i ScheduleItem) bool {
		return i.Days&(1<<now.Weekday()) != 0 && i.From <= minute && minute < i.To
	})
}

// sameTimes reports whether two schedules are the same.
func sameTimes(a, b []Times) bool {
	return slices.EqualFunc(a, b, func(x, y Times) bool {
		return x.Zone == y.Zone && slices.Equal(x.Items, y.Items)
	})
}

// lintSchedules warns of schedules that nothing uses.
func (p *parser) lintSchedules() {
	for _, s := range p.doc.Schedules {
		if !p.usedSchedules[s.Name] {
			p.warnf(s.Pos, codeUnusedSchedule, "schedules."+s.Name, "", "nothing uses schedule %q", s.Name)
		}
	}
}
