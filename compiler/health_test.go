package compiler

import (
	"encoding/json"
	"maps"
	"testing"

	"pbr/compiler/plan"
)

// Health goes through JSON, between a watch and commands and over a restart; that of an earlier
// release is both versions'.
func TestHealthAsJSON(t *testing.T) {
	t.Run("it reads what it writes", func(t *testing.T) {
		h := Health{{Uplink: "isp1", Family: plan.IPv4}: 2, {Uplink: "isp2", Family: plan.IPv6}: Doubtful,
			{"isp1", plan.IPv6, "default"}: 1}
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var got Health
		if err := json.Unmarshal(text, &got); err != nil || !maps.Equal(h, got) {
			t.Errorf("%s becomes %v, %v", text, got, err)
		}
	})
	t.Run("without a version it is that of both", func(t *testing.T) {
		var got Health
		if err := json.Unmarshal([]byte(`{"isp1": 3}`), &got); err != nil || got[UplinkVersion{Uplink: "isp1"}] != 3 {
			t.Errorf("without a version: %v, %v", got, err)
		}
	})
	t.Run("a version that does not exist is refused", func(t *testing.T) {
		var got Health
		if err := json.Unmarshal([]byte(`{"isp1/5": 3}`), &got); err == nil {
			t.Error("there is no IPv5")
		}
	})
}
