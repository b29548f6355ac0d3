package policy

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/lazy"
)

// Suggest words a hint for a word that is none of the valid ones: "did you mean" the nearest of
// them, or all of them where none is near.
func Suggest(got string, valid []string) string { return suggest(got, valid) }

// suggest words a hint for a name that is none of the valid ones: the nearest of them, or all
// when none is near and they are few.
func suggest(got string, valid []string) string {
	if len(valid) == 0 {
		return ""
	}
	if name := Nearest(got, valid); name != "" {
		return fmt.Sprintf("did you mean %q?", name)
	}
	const few = 40
	if len(valid) > few {
		return ""
	}
	return "valid: " + quoteAll(valid)
}

// Nearest returns the valid name that was meant, empty if none is near: what other programs' word
// stands for, or the one with the fewest differences.
func Nearest(got string, valid []string) string {
	if other := synonyms.Get()[hyphened(got)]; slices.Contains(valid, other) {
		return other
	}
	best, bestDistance := "", 1+max(1, len(got)/3)
	for _, v := range valid {
		d := distance(strings.ToLower(got), strings.ToLower(v))
		if d >= bestDistance && len(got) >= 3 && (strings.HasPrefix(v, got) || strings.HasPrefix(got, v) && len(v) >= 3) {
			d = bestDistance - 1 // "masq" for "masquerade"
		}
		if d < bestDistance || d == bestDistance && best != "" && sameStart(got, v) > sameStart(got, best) {
			best, bestDistance = v, d
		}
	}
	return best
}

// synonyms are other programs' words for keys and values, and their other names.
var synonyms = lazy.Value[map[string]string]{Make: func() map[string]string {
	return map[string]string{
		"source": "src", "saddr": "src", "src-address": "src", "destination": "dst", "daddr": "dst", "dst-address": "dst",
		"from": "src", "to": "dst", "protocol": "proto", "ipproto": "proto", "dst-port": "dport", "src-port": "sport", "port": "dport",
		"iif": "from", "in": "from", "in-interface": "from", "iifname": "from", "oifname": "oif", "user": "uid",
		"skuid": "uid", "group": "gid", "skgid": "gid", "service": "unit", "slice": "cgroup", "cgroupv2": "cgroup", "program": "unit",
		"mark": "fwmark", "lookup": "table", "dev": "interface", "device": "interface", "via": "gateway", "metric": "distance",
		"priority": "distance", "pref": "priority", "blackhole": "drop", "masq": "masquerade", "snat": "masquerade", "icmp": "ping",
		"timeout": "sticky", "mode": "method", "random-fully": "random", "nth": "round-robin", "pcc": "hash",
		"track-ip": "targets", "dest": "dst", "family": "ipv", "ip-version": "ipv",
		"routing-mark": "table", "use-policy": "table", "last-resort": "strict", "dest-port": "dport",
		"src-ip": "src", "source-ip": "src", "dest-ip": "dst", "dst-ip": "dst", "destination-ip": "dst", "time": "schedule",
		"mikrotik": "routeros", "openwrt": "mwan3",
	}
}}

// hyphened writes a word as pbr's keys are written.
func hyphened(word string) string { return strings.ReplaceAll(word, "_", "-") }

// sameStart counts the bytes that two words start with alike.
func sameStart(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// quoteAll lists words for a message.
func quoteAll(words []string) string {
	words = slices.Clone(words)
	for i, w := range words {
		words[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(words, ", ")
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a
// into b (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64 // nothing that long is a misspelt name
	}
	var rows [3][65]int
	before, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
