//go:build !small

package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"pbr/compiler/lazy"
)

// maxText bounds what a template makes, in bytes.
const maxText = 64 << 10

// Template makes the text of messages.
type Template struct{ parsed *template.Template }

// templateName stands at the beginning of the library's errors.
const templateName = "template"

// NewTemplate parses a text/template over a Message's fields, and tries it with messages of every
// state and these tables. The error is a *TemplateError.
func NewTemplate(text string, tables []string) (*Template, error) {
	parsed, err := template.New(templateName).Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, templateError(err)
	}
	t := &Template{parsed}
	for _, m := range samples(tables) {
		if _, err := t.Render(&m); err != nil {
			return nil, templateError(err)
		}
	}
	return t, nil
}

// functions are those that a template has beyond the language's own.
var functions = template.FuncMap{"json": asJSON, "join": strings.Join}

// asJSON writes any value as JSON, so that a template of JSON is right whatever a text holds.
func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// Render makes a message's text. A nil Template makes JSON.
func (t *Template) Render(m *Message) ([]byte, error) {
	if t == nil {
		return json.Marshal(m)
	}
	var b bounded
	err := t.parsed.Execute(&b, m.fields().capitalised())
	return b, err
}

// capitalised adds the names as people who know Go write them: .Uplink is .uplink.
func (f fields) capitalised() fields {
	for name, value := range maps.Clone(f) {
		f[strings.ToUpper(name[:1])+name[1:]] = value
	}
	return f
}

// MarshalJSON implements json.Marshaler: each field once.
func (f fields) MarshalJSON() ([]byte, error) {
	once := map[string]any(maps.Clone(f))
	maps.DeleteFunc(once, func(name string, _ any) bool { return name[0] < 'a' })
	return json.Marshal(once)
}

// bounded is a text that does not grow for ever.
type bounded []byte

func (b *bounded) Write(p []byte) (int, error) {
	if len(*b)+len(p) > maxText {
		return 0, fmt.Errorf("it makes more than %d bytes", maxText)
	}
	*b = append(*b, p...)
	return len(p), nil
}

// The library's errors.
var (
	errorPlace = lazy.Value[*regexp.Regexp]{Make: func() *regexp.Regexp {
		return regexp.MustCompile(`^template: ` + templateName + `:(\d+)(?::\d+)?: (?s:(.*))$`)
	}}
	executing    = lazy.Value[*regexp.Regexp]{Make: func() *regexp.Regexp { return regexp.MustCompile(`^executing "[^"]*" at <.*?>: `) }}
	unknownField = lazy.Value[*regexp.Regexp]{Make: func() *regexp.Regexp {
		return regexp.MustCompile(`^map has no entry for key "(.*)"$`)
	}}
)

// templateError takes the line out of the library's error.
func templateError(err error) *TemplateError {
	m := errorPlace.Get().FindStringSubmatch(err.Error())
	if m == nil {
		return &TemplateError{1, err.Error()}
	}
	line, _ := strconv.Atoi(m[1])
	text := executing.Get().ReplaceAllString(m[2], "")
	if field := unknownField.Get().FindStringSubmatch(text); field != nil {
		text = fmt.Sprintf("there is no %q", field[1])
	}
	if inner := errors.Unwrap(errors.Unwrap(err)); inner != nil && !strings.Contains(text, inner.Error()) {
		text = inner.Error()
	}
	return &TemplateError{line, text}
}

// samples are messages of every state, version and kind of event.
func samples(tables []string) (out []Message) {
	used := map[string][]string{}
	for _, t := range tables {
		used[t] = []string{"isp1", "isp2"}
	}
	add := func(event, version, from, to string) {
		m := Message{Event: event, Uplink: "isp1", Interface: "wan1", Version: version, From: from, To: to, Reason: "no answer",
			Time: Time{time.Unix(0, 0)}, Tables: used, Host: "router"}
		m.Text = "uplink isp1: " + to + ": no answer"
		out = append(out, m)
	}
	for _, s := range States {
		add("change", "both", "start", s)
		add("change", "both", s, "start")
	}
	for _, event := range []string{"up", "degraded", "down"} {
		for _, version := range []string{"4", "6"} {
			add(event, version, "up", event)
		}
	}
	return out
}
