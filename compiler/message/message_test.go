package message

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func example() *Message {
	return &Message{Text: "uplink isp1: down: \"no\" answer", Event: "down", Uplink: "isp1", Interface: "wan1",
		Version: "both", From: "up", To: "down",
		Reason: `"no" answer`, Time: Time{time.Date(2026, 2, 3, 4, 5, 6, 7e8, time.FixedZone("", 3600))},
		Tables: map[string][]string{"default": {"isp2", "isp3"}, "office": {}},
		Host:   "gw"}
}

func TestDefaultIsJSON(t *testing.T) {
	b, err := (*Template)(nil).Render(example())
	want := `{"text":"uplink isp1: down: \"no\" answer","event":"down","uplink":"isp1","interface":"wan1","version":"both","from":"up","to":"down",` +
		`"reason":"\"no\" answer","time":"2026-02-03T03:05:06.7Z","tables":{"default":["isp2","isp3"],"office":[]},"host":"gw"}`
	if err != nil || string(b) != want {
		t.Errorf("%v\n%s, not\n%s", err, b, want)
	}
}

// What JSON has and what templates have are the same.
func TestFieldsAreThoseOfJSON(t *testing.T) {
	b, _ := json.Marshal(example())
	var have map[string]any
	if err := json.Unmarshal(b, &have); err != nil {
		t.Fatal(err)
	}
	if len(have) != len(Names()) {
		t.Errorf("%d in JSON, %d in templates", len(have), len(Names()))
	}
	for _, name := range Names() {
		if _, there := have[name]; !there {
			t.Errorf("JSON has no %s", name)
		}
	}
}

func TestTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"{{.uplink}} is {{.To}}":                    "isp1 is down",
		`{"text": {{json .text}}}`:                  `{"text": "uplink isp1: down: \"no\" answer"}`,
		`{{join .tables.default ", "}}`:             "isp2, isp3",
		`{{.time}} {{.Time.Format "15:04"}}`:        "2026-02-03T03:05:06.7Z 04:05",
		`{{range $t, $u := .tables}}{{$t}} {{end}}`: "default office ",
		"{{json .}}": `{"event":"down","from":"up","host":"gw","interface":"wan1","reason":"\"no\" answer","tables":{"default":["isp2","isp3"],"office":[]},` +
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
