//go:build !small

package message

import (
	"strings"
	"testing"
)

func TestTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"{{.uplink}} is {{.To}}":                    "isp1 is down",
		`{"text": {{json .text}}}`:                  `{"text": "uplink isp1: down: \"no\" answer"}`,
		`{{join .tables.default ", "}}`:             "isp2, isp3",
		`{{.time}} {{.Time.Format "15:04"}}`:        "2026-02-03T03:05:06.7Z 04:05",
		`{{range $t, $u := .tables}}{{$t}} {{end}}`: "default office ",
		"{{json .}}": `{"event":"down","from":"up","host":"gw","interface":"wan1","reason":"\"no\" answer",` +
			`"tables":{"default":["isp2","isp3"],"office":[]},` +
			`"text":"uplink isp1: down: \"no\" answer","time":"2026-02-03T03:05:06.7Z","to":"down","uplink":"isp1","version":"both"}`,
	} {
		t.Run(text, func(t *testing.T) {
			tp, err := NewTemplate(text, []string{"default"})
			if err != nil {
				t.Errorf("%s: %v", text, err)
				return
			}
			if b, err := tp.Render(example()); err != nil || string(b) != want {
				t.Errorf("%s: %s, %v", text, b, err)
			}
		})
	}
}

// What is wrong with a template is found before any event, with its line, also in a branch that few
// events take.
func TestBadTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"{{.uplink":        "line 1: unclosed action",
		"a\n\n{{.uplnik}}": `line 3: there is no "uplnik"`,
		"\n{{if eq .to \"standby\"}}{{.x}}{{end}}":              `line 2: there is no "x"`,
		"{{.tables.other}}":                                     `line 1: there is no "other"`,
		"{{shout .to}}":                                         `line 1: function "shout" not defined`,
		"{{range 100000}}a long line {{end}}":                   "line 1: it makes more than 65536 bytes",
		`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`: "line 1: ",
	} {
		t.Run(text, func(t *testing.T) {
			if _, err := NewTemplate(text, []string{"default"}); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: %v, not %s", text, err, want)
			}
		})
	}
}
