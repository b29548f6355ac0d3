package message

import (
	"encoding/json"
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
	want := `{"text":"uplink isp1: down: \"no\" answer","event":"down","uplink":"isp1","interface":"wan1",` +
		`"version":"both","from":"up","to":"down",` +
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
