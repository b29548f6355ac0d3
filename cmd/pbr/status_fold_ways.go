package main

import (
	"fmt"
	"slices"
	"strings"
)

// routeTable has the rows of tables below the head, and the comment of each. A table with a problem
// is one without a route, with one over uplinks that are not usable, or with one that is
// unreachable.
func (f folding) routeTable(list []tableStatus) (rows [][]string, comments []string) {
	var groups [][]tableStatus
	if !f.few(len(list)) {
		list, groups = alike(list, (*tableStatus).likeness)
	}
	for _, t := range list {
		for i, row := range f.tableRows(t) {
			rows, comments = append(rows, row), append(comments, onFirst(i, t.Comment))
		}
	}
	for _, group := range groups {
		for _, row := range tableGroup(group) {
			rows, comments = append(rows, row), append(comments, "")
		}
	}
	return rows, comments
}

// likeness is what tables have in common that share lines: destinations, distances, and over how
// many uplinks their routes go. It is empty if this one needs lines of its own.
func (t *tableStatus) likeness() string {
	var b strings.Builder
	for _, a := range t.Active {
		if a.Kept || len(a.Uplinks) == 0 {
			return ""
		}
		fmt.Fprintln(&b, a.Family, a.Destination, len(a.Uplinks), a.Metric)
	}
	return b.String()
}

// tableGroup has the rows of tables that are alike.
func tableGroup(group []tableStatus) (rows [][]string) {
	names := make([]string, len(group))
	for i := range group {
		names[i] = group[i].Name
	}
	name := someNames(names, ", ")
	for i, a := range group[0].Active {
		over := a.Uplinks[0]
		if !sameUplinks(group, i) {
			over = "an uplink each"
		}
		if n := len(a.Uplinks); n > 1 {
			over = fmt.Sprintf("%d uplinks each", n)
		}
		rows = append(rows, []string{name, destination(a), fmt.Sprintf("%s, distance %d", over, a.Metric)})
		name = ""
	}
	return rows
}

// sameUplinks reports whether a route of all tables goes over the same uplinks.
func sameUplinks(group []tableStatus, route int) bool {
	return !slices.ContainsFunc(group, func(t tableStatus) bool {
		return !slices.Equal(t.Active[route].Uplinks, group[0].Active[route].Uplinks)
	})
}

// balanceTable has the rows of balances below the head, and the comment of each.
func (f folding) balanceTable(list []balanceStatus) (rows [][]string, comments []string) {
	for _, b := range list {
		for i, row := range f.balanceRows(b) {
			rows, comments = append(rows, row), append(comments, onFirst(i, b.Comment))
		}
	}
	return rows, comments
}

// balanceRows has a row for each member, or for those that are alike. Members that take nothing
// come first.
func (f folding) balanceRows(b balanceStatus) (rows [][]string) {
	apart, groups := b.Members, [][]memberStatus(nil)
	if !f.few(len(apart)) {
		apart, groups = alike(apart, (*memberStatus).likeness)
	}
	for i := range apart {
		rows = append(rows, memberRow(apart[i].Name, apart[i:i+1]))
	}
	for _, group := range groups {
		names := make([]string, len(group))
		for i := range group {
			names[i] = group[i].Name
		}
		rows = append(rows, memberRow(someNames(names, ", "), group))
	}
	if len(rows) > 0 {
		rows[0][0] = b.Name
	}
	return rows
}

// likeness is what members have in common that share a row; empty if this one takes nothing.
func (m *memberStatus) likeness() string {
	if len(m.Usable) == 0 {
		return ""
	}
	return fmt.Sprint(m.Weight, m.Usable, m.Clients == nil)
}

// memberRow is the row of members that are alike, with the sum of their clients.
func memberRow(name string, alike []memberStatus) []string {
	takes := make([]string, 0, 2)
	for _, family := range alike[0].Usable {
		takes = append(takes, fmt.Sprintf("IPv%d", family))
	}
	if len(takes) == 0 {
		takes = append(takes, "none")
	}
	clients, sum := "-", 0
	for _, m := range alike {
		if m.Clients != nil {
			sum += *m.Clients
			clients = fmt.Sprint(sum)
		}
	}
	return []string{"", name, fmt.Sprint(alike[0].Weight), strings.Join(takes, " "), clients}
}
