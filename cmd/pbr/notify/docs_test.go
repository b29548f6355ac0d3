//go:build !small

package notify

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pbr/compiler/message"
	"pbr/compiler/policy"
)

// documented is the event that docs/notify.md shows.
func documented(t *testing.T, docs string) (m message.Message) {
	t.Helper()
	example := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(docs)
	if example == nil {
		t.Fatal("no JSON in docs/notify.md")
	}
	d := json.NewDecoder(strings.NewReader(example[1]))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	if m.Text != "uplink isp1: down: "+m.Reason || !m.Time.Equal(time.Date(2026, 2, 3, 4, 5, 6, 7e8, time.UTC)) {
		t.Errorf("%+v", m)
	}
	return m
}

// Each example of docs/notify.md is a policy, and what it posts is what its service takes.
func TestDocsExamples(t *testing.T) {
	b, err := os.ReadFile("../../../docs/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(b)
	t.Run("each field is named", func(t *testing.T) {
		for _, name := range message.Names() {
			if !strings.Contains(docs, "`"+name+"`") {
				t.Errorf("docs/notify.md does not name %s", name)
			}
		}
	})
	m := documented(t, docs)
	_, examples, _ := strings.Cut(docs, "\n## Examples\n")
	services := map[string]func(path, body string, h http.Header) bool{
		"ntfy": func(path, body string, h http.Header) bool {
			return path == "/my-secret-topic" && body == m.Text && h.Get("Title") == "Router" &&
				h.Get("Authorization") == "Bearer tk_abcdef" &&
				strings.HasPrefix(h.Get("Content-Type"), "text/plain")
		},
		"Slack": func(path, body string, h http.Header) bool {
			var got struct{ Text string }
			return json.Unmarshal([]byte(body), &got) == nil && got.Text == "*gateway*: "+m.Text &&
				h.Get("Content-Type") == "application/json"
		},
		"Telegram": func(path, body string, h http.Header) bool {
			var got struct {
				ChatID int64 `json:"chat_id"`
				Text   string
				Silent *bool `json:"disable_notification"`
			}
			return strings.HasSuffix(path, "/sendMessage") && json.Unmarshal([]byte(body), &got) == nil &&
				got.ChatID < 0 && got.Text == m.Text &&
				got.Silent != nil && !*got.Silent && h.Get("Content-Type") == "application/json"
		},
		"Home Assistant": func(path, body string, h http.Header) bool {
			var got map[string]any
			return strings.HasPrefix(path, "/api/webhook/") && json.Unmarshal([]byte(body), &got) == nil &&
				got["event"] == "down" && got["text"] == m.Text &&
				h.Get("Content-Type") == "application/json"
		},
	}
	for name, takes := range services {
		t.Run(name, func(t *testing.T) {
			_, section, found := strings.Cut(examples, "### "+name+"\n")
			section, _, _ = strings.Cut(section, "\n### ")
			example := regexp.MustCompile("(?s)```toml\n(.*?)```").FindStringSubmatch(section)
			if !found || example == nil {
				t.Errorf("no example of %s", name)
				return
			}
			if path, body, header := posts(t, example[1], m); !takes(path, body, header) {
				t.Errorf("%s does not take %s\n%s\n%v", name, path, body, header)
			}
		})
	}
}

// posts returns what a policy posts of an event.
func posts(t *testing.T, text string, m message.Message) (path, body string, header http.Header) {
	t.Helper()
	doc, ds := policy.Parse(
		fstest.MapFS{"p": {Data: []byte(text +
			"[default]\nroutes = { uplink = \"isp2\" }\n[[uplink]]\nname = \"isp2\"\ninterface = \"eth2\"\n")}}, "p", "p")
	if ds.HasErrors() {
		t.Fatalf("%v\n%s", ds, text)
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		path, body, header = r.URL.Path, string(b), r.Header
	}))
	defer server.Close()
	to := doc.Watch.Notify
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	here, _ := url.Parse(server.URL)
	u.Scheme, u.Host = here.Scheme, here.Host
	to.URL = u.String()
	var template *message.Template
	if to.Template != "" {
		if template, err = message.NewTemplate(to.Template, doc.TableNames()); err != nil {
			t.Fatal(err)
		}
	}
	rendered, err := template.Render(&m)
	if err != nil {
		t.Fatal(err)
	}
	if err := postHTTP(t.Context(), &to, rendered); err != nil {
		t.Fatal(err)
	}
	return path, body, header
}
