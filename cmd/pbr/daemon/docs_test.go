package daemon

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/compiler/message"
	"pbr/healthcheck"
)

// found returns what a pattern's first group matches in text, each once, sorted.
func found(pattern, text string) []string {
	set := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		set[m[1]] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// The documentation names exactly the states, metrics and variables that there are.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../../docs/watch.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(b)
	section := func(t *testing.T, title string) string {
		_, text, ok := strings.Cut(docs, "\n## "+title+"\n")
		if !ok {
			t.Fatalf("no section %s", title)
		}
		text, _, _ = strings.Cut(text, "\n## ")
		return text
	}
	report := Report{Uplinks: []healthcheck.Status{{UplinkVersion: healthcheck.UplinkVersion{Uplink: "a", Version: 4},
		State: healthcheck.Up, RTT: time.Second}}}
	report.Numbers.Events = map[healthcheck.UplinkVersion]map[healthcheck.State]int{{Uplink: "a", Version: 4}: {healthcheck.Up: 1}}
	report.Use = &Use{Connections: map[string]int{"a": 1}, Bytes: map[string]uint64{"a": 1}, Hits: map[string]uint64{"p": 1},
		Clients: map[[2]string]int{{"b", "a"}: 1}, Active: map[[2]string][]string{{"t", "4"}: {"a"}}, Applied: time.Now()}
	metrics := string(Metrics(report))
	t.Run("metrics", func(t *testing.T) {
		if have, want := found("`((?:pbr|go)_[a-z_]+)`", section(t, "Metrics")),
			found(`(?m)^# HELP (\S+)`, metrics); !slices.Equal(have, want) {
			t.Errorf("metrics are documented as\n%q\nand are\n%q", have, want)
		}
	})
	t.Run("the hook's environment", func(t *testing.T) {
		variables := strings.Join(hookEvent("a", healthcheck.Up, healthcheck.Down).Environment(), "\n")
		if have, want := found("`(PBR_[A-Z]+)`", section(t, "Hook")), found(`(?m)^(PBR_[A-Z]+)=`, variables); !slices.Equal(have, want) {
			t.Errorf("the hook's environment is documented as\n%q\nand is\n%q", have, want)
		}
	})
	t.Run("what each state does with connections", func(t *testing.T) {
		row := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (yes|no) \\| (stay|flushed)")
		rows := row.FindAllStringSubmatch(section(t, "States"), -1)
		if len(rows) < len(states)-2 { // neither forced-up nor forced-down is found by a check
			t.Errorf("%d rows of %d states say what happens to connections", len(rows), len(states))
		}
		for _, m := range rows {
			s := healthcheck.State(m[1])
			if !slices.Contains(states, s) || s.Usable() != (m[2] == "yes") || s.Dead() != (m[3] == "flushed") {
				t.Errorf("state %s: new connections %s, running ones %s", s, m[2], m[3])
			}
		}
	})
	t.Run("every state", func(t *testing.T) {
		for _, s := range states {
			if !slices.Contains(message.States, string(s)) || len(states) != len(message.States) {
				t.Errorf("templates of messages are not tried with %s: %q", s, message.States)
			}
			if !strings.Contains(section(t, "States"), "| `"+string(s)+"` |") {
				t.Errorf("state %s is not documented", s)
			}
		}
	})
}
