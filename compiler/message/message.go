// Package message holds what pbr watch tells others of an event: its fields, its JSON, and
// templates over it.
package message

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Message is an event of an uplink, for people and programs elsewhere. Its JSON is what is sent
// without a template.
type Message struct {
	// Text is the whole in one sentence.
	Text string `json:"text"`
	// Event is what became of the uplink's use, as the hook's PBR_EVENT: "up", "degraded", "down"
	// or "change".
	Event     string `json:"event"`
	Uplink    string `json:"uplink"`
	Interface string `json:"interface"`
	// Version is "4", "6" or "both".
	Version string `json:"version"`
	// From and To are states.
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
	Time   Time   `json:"time"`
	// Tables has every table with the uplinks that it uses after the event.
	Tables map[string][]string `json:"tables"`
	// Host is the router's name.
	Host string `json:"host"`
}

// Time is a point in time that prints as RFC 3339 in UTC, also in a template.
type Time struct{ time.Time }

func (t Time) String() string { return t.UTC().Format(time.RFC3339Nano) }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// fields are a message's for templates, by the names that they have in JSON.
type fields map[string]any

func (m *Message) fields() fields {
	return fields{
		"text": m.Text, "event": m.Event, "uplink": m.Uplink, "interface": m.Interface, "version": m.Version, "from": m.From, "to": m.To,
		"reason": m.Reason, "time": m.Time, "tables": m.Tables, "host": m.Host,
	}
}

// Names are the fields that a template has.
func Names() []string { return slices.Sorted(maps.Keys((&Message{}).fields())) }

// TemplateError is what is wrong with a template, in one of its lines, the first of which is 1.
type TemplateError struct {
	Line int
	Text string
}

func (e *TemplateError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// States are those that uplinks can have.
var States = []string{"start", "up", "degraded", "down", "link-down", "unconfirmed", "address-lost", "no-gateway",
	"absent", "over-quota", "standby",
	"forced-up", "forced-down"}
