package main

import (
	"fmt"
	"time"
)

// uplinkTable has the rows of uplinks below the head.
func (f folding) uplinkTable(list []uplinkStatus, now time.Time) (rows []checkRow) {
	var groups [][]uplinkStatus
	if !f.few(len(list)) {
		list, groups = alike(list, (*uplinkStatus).likeness)
	}
	for _, u := range list {
		own := uplinkRows(u, now)
		own[0].comment = u.Comment
		rows = append(rows, own...)
	}
	for _, group := range groups {
		rows = append(rows, uplinkGroup(group, now))
	}
	return rows
}

// likeness is what healthy uplinks have in common that share a line; empty if this one needs a line
// of its own.
func (u *uplinkStatus) likeness() string {
	if u.failed() || u.rows() != nil || u.ProbeError != "" {
		return ""
	}
	return u.State
}

// uplinkGroup is the row of uplinks that are alike: what was measured, from the least to the most,
// and the sum of what they carry.
func uplinkGroup(group []uplinkStatus, now time.Time) checkRow {
	var names []string
	var since, rtt, jitter, loss spread
	interfaces, sum, bytes := map[string]bool{}, 0, new(uint64)
	for i := range group {
		u := &group[i]
		names, interfaces[u.Interface] = append(names, u.Name), true
		sum, bytes = sum+u.Connections, bytesOfBoth(bytes, u.Bytes)
		if u.Since != nil {
			since.add(now.Sub(*u.Since).Seconds())
		}
		if u.RTT > 0 {
			rtt.add(u.RTT)
			jitter.add(u.Jitter)
		}
		if u.Loss != nil {
			loss.add(*u.Loss)
		}
	}
	on := group[0].Interface
	if len(interfaces) > 1 {
		on = counted(len(interfaces), "interface")
	}
	return checkRow{check: group[0].checkStatus, cells: []string{someNames(names, ", "), on, group[0].State,
		since.text(func(s float64) string { return span(seconds(s)) }), rtt.text(inMilliseconds), jitter.text(inMilliseconds),
		loss.text(inPercent), fmt.Sprint(sum), size(bytes), recentFailures(group, now)}}
}

// recentFailures says which of some uplinks failed lately.
func recentFailures(group []uplinkStatus, now time.Time) string {
	var last *uplinkStatus
	n := 0
	for i := range group {
		u := &group[i]
		if u.LastFailureAt == nil || now.Sub(*u.LastFailureAt) >= failureShown {
			continue
		}
		if n++; last == nil || u.LastFailureAt.After(*last.LastFailureAt) {
			last = u
		}
	}
	if last == nil {
		return "-"
	}
	text := fmt.Sprintf("%s: %s, %s ago", last.Name, last.LastFailure, span(now.Sub(*last.LastFailureAt)))
	if n > 1 {
		text += fmt.Sprintf("; %d more within a day", n-1)
	}
	return text
}

// bytesOfBoth is a sum, nil if a part of it is not known.
func bytesOfBoth(a, b *uint64) *uint64 {
	if a == nil || b == nil {
		return nil
	}
	sum := *a + *b
	return &sum
}

func inMilliseconds(ms float64) string { return fmt.Sprintf("%.1fms", ms) }

func inPercent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }
