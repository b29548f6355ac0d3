//go:build !small

package web

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pbr/integration/lab"
)

// needBrowser returns the headless Chromium. make test-web installs it, and lets these tests run.
func needBrowser(t *testing.T) string {
	t.Helper()
	if os.Getenv("PBR_WEB") == "" {
		t.Skip("make test-web runs this, with Debian's chromium-headless-shell")
	}
	path, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// browser is a Chromium on a host, driven through its pipe (Chrome DevTools Protocol).
type browser struct {
	t       *testing.T
	in      *os.File
	session string

	mu      sync.Mutex
	id      int
	answers map[int]chan message
	said    []string
}

type message struct {
	ID      int                       `json:"id,omitempty"`
	Method  string                    `json:"method,omitempty"`
	Session string                    `json:"sessionId,omitempty"`
	Params  any                       `json:"params,omitempty"`
	Result  json.RawMessage           `json:"result,omitempty"`
	Error   *struct{ Message string } `json:"error,omitempty"`
}

// browse starts a browser on a host with a page of its own.
func browse(t *testing.T, h *lab.Host) *browser {
	t.Helper()
	path := needBrowser(t)
	fromUs, toBrowser := pipe(t)
	fromBrowser, toUs := pipe(t)
	profile, err := os.MkdirTemp("", "pbr-browser-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := h.Command(path, "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe", "--no-first-run",
		"--force-color-profile=srgb", "--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{fromUs, toUs}
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	_, _ = fromUs.Close(), toUs.Close()
	b := &browser{t: t, in: toBrowser, answers: map[int]chan message{}}
	go b.listen(fromBrowser)
	t.Cleanup(func() {
		_ = toBrowser.Close() // which ends it
		ended := time.AfterFunc(lab.Patience(10*time.Second), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		ended.Stop()
		// Processes of its own may write still.
		lab.WaitFor(t, "the browser's files to be gone", func() bool { return os.RemoveAll(profile) == nil })
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// listen hands answers to those who wait for them, and keeps what pages complain of.
func (b *browser) listen(from *os.File) {
	reader := bufio.NewReader(from)
	for {
		text, err := reader.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if answer := b.answers[m.ID]; m.ID != 0 && answer != nil {
			answer <- m
			delete(b.answers, m.ID)
		}
		if m.Method == "Log.entryAdded" || m.Method == "Runtime.exceptionThrown" {
			b.said = append(b.said, string(text[:len(text)-1]))
		}
		b.mu.Unlock()
	}
}

// call asks the browser for something and waits for its answer, which must not be an error.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	if said := b.ask(method, params, result); said != "" {
		b.t.Fatalf("%s: %s", method, said)
	}
}

// ask asks the browser for something, waits for its answer, and returns the error in it.
func (b *browser) ask(method string, params, result any) (said string) {
	b.t.Helper()
	answer := make(chan message, 1)
	b.mu.Lock()
	b.id++
	m := message{ID: b.id, Method: method, Params: params, Session: b.session}
	b.answers[m.ID] = answer
	b.mu.Unlock()
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case m = <-answer:
	case <-time.After(lab.Patience(60 * time.Second)):
		b.t.Fatalf("%s: no answer", method)
	}
	if m.Error != nil {
		return m.Error.Message
	}
	if result != nil {
		if err := json.Unmarshal(m.Result, result); err != nil {
			b.t.Fatalf("%s: %v: %s", method, err, m.Result)
		}
	}
	return ""
}

// isGone reports whether an answer is what Chromium says of a script whose page was left while it
// ran; the second is for promises.
func isGone(said string) bool {
	return said == "Inspected target navigated or closed" || strings.HasPrefix(said, "Execution context was destroyed") ||
		said == "Promise was collected"
}

// leave runs a script after which the browser loads another page, maybe before it answers.
func (b *browser) leave(script string) {
	b.t.Helper()
	if said := b.ask("Runtime.evaluate", map[string]any{"expression": script}, nil); said != "" && !isGone(said) {
		b.t.Fatalf("%.100s: %s", script, said)
	}
}

// eval runs a script in the page and returns its value, promises awaited. A page that is left
// meanwhile, for another or for itself anew, is asked again.
func (b *browser) eval(script string, into any) {
	b.t.Helper()
	var result struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	lab.WaitFor(b.t, "a page that stays", func() bool {
		said := b.ask("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &result)
		if said != "" && !isGone(said) {
			b.t.Fatalf("%.100s: %s", script, said)
		}
		return said == ""
	})
	if e := result.ExceptionDetails; e != nil {
		b.t.Fatalf("%.100s: %s %s", script, e.Text, e.Exception.Description)
	}
	if into != nil {
		if err := json.Unmarshal(result.Result.Value, into); err != nil {
			b.t.Fatalf("%.100s: %v: %s", script, err, result.Result.Value)
		}
	}
}

// text is what an element shows, empty if there is none.
func (b *browser) text(selector string) (text string) {
	b.t.Helper()
	b.eval(fmt.Sprintf("document.querySelector(%q)?.textContent ?? ''", selector), &text)
	return strings.Join(strings.Fields(text), " ")
}

// open loads a page and waits for it.
func (b *browser) open(path string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": "http://" + address + path}, nil)
	b.ready()
}

func (b *browser) ready() {
	b.t.Helper()
	lab.WaitFor(b.t, "the page", func() bool {
		var done bool
		b.eval("document.readyState === 'complete' && location.href !== 'about:blank'", &done)
		return done
	})
}

// screen sets the size of the window and its colours.
func (b *browser) screen(width, height int, dark bool) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height,
		"deviceScaleFactor": 1, "mobile": width < 600}, nil)
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	b.call("Emulation.setEmulatedMedia",
		map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// shoot writes a picture of the page from its top, as high as it is, but no higher than a limit;
// the file's name tells the format.
func (b *browser) shoot(file string, width, limit int) {
	b.t.Helper()
	var height int
	b.eval("document.documentElement.scrollHeight", &height)
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": strings.TrimPrefix(filepath.Ext(file), "."),
		"quality": 80, "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": width, "height": min(height, limit), "scale": 1}}, &shot)
	picture, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, picture, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// complaints are what pages logged: errors of scripts, and what the content security policy
// refused.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said
}
