package main

import (
	"strings"
	"testing"
)

func TestArranged(t *testing.T) {
	app := command{}.app()
	for line, want := range map[string]string{
		"pbr":                                     "pbr",
		"pbr -v":                                  "pbr -v",
		"pbr apply -c x.toml":                     "pbr -c x.toml apply",
		"pbr apply --config=x.toml":               "pbr --config=x.toml apply",
		"pbr --json status --config x.toml -w":    "pbr --config x.toml status --json -w",
		"pbr status -w --json":                    "pbr status -w --json",
		"pbr apply --confirm 60s --json":          "pbr apply --confirm 60s --json",
		"pbr uplink isp1 down --lock-wait 5s":     "pbr uplink --lock-wait 5s isp1 down",
		"pbr uplink isp1 --lock-wait=5s down":     "pbr uplink --lock-wait=5s isp1 down",
		"pbr uplink apply -c x down":              "pbr -c x uplink apply down",
		"pbr uplink -- -c down":                   "pbr uplink -- -c down",
		"pbr check -c":                            "pbr -c= check",
		"pbr frobnicate -c x --json y":            "pbr -c x frobnicate --json y",
		"pbr apply -c x -c y":                     "pbr -c x -c y apply",
		"pbr apply --confirm --json":              "pbr apply --confirm",
		"pbr apply --confirm=--json":              "pbr apply --confirm=--json",
		"pbr uplink isp1 --lock-wait -- down":     "pbr uplink --lock-wait",
		"pbr connections --mark -1":               "pbr connections --mark -1",
		"pbr -c --json check":                     "pbr -c= check --json",
		"pbr -c - check":                          "pbr -c - check",
		"pbr apply --generate-bash-completion":    "pbr apply --generate-bash-completion",
		"pbr --config x.toml compile -o d --live": "pbr --config x.toml compile -o d --live",
	} {
		t.Run(line, func(t *testing.T) {
			if got := strings.Join(arranged(app, strings.Fields(line)), " "); got != want {
				t.Errorf("%s: got %s, want %s", line, got, want)
			}
		})
	}
}
