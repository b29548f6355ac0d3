package policy

import (
	"errors"
	"net/textproto"
	"net/url"
	"strings"

	"pbr/compiler/message"
	"pbr/compiler/policy/internal/tomltree"
)

// Notify is [watch] notify: where events are posted to. Its URL and Headers may hold secrets: no
// message quotes them.
type Notify struct {
	Pos     Pos // Line 0: nowhere
	URL     string
	Headers []Header
	// Template makes the body; empty: it is JSON.
	Template string
	node     *tomltree.Node // Template's
}

// Header is one of an HTTP request. Its name is canonical.
type Header struct{ Name, Value string }

// notify reads both spellings of notify: a URL, or a table.
func (s *section) notify() (n Notify) {
	f := s.fields.Get("notify")
	switch {
	case f == nil:
		s.get("notify")
		return n
	case f.Value.Kind == tomltree.String:
		n.URL, n.Pos = s.postURL("notify")
		return n
	case f.Value.Kind != tomltree.Table:
		s.get("notify")
		s.wrongType("notify", &f.Value, `a URL, or { url = "https://...", headers = { Title = "pbr" } }`)
		return n
	}
	t := s.table("notify")
	n.Pos = t.pos()
	n.URL, _ = t.postURL("url")
	if t.fields.Get("url") == nil {
		t.missing("url", `url = "https://ntfy.example.com/router"`)
	}
	n.Headers = t.headers()
	n.Template, _ = t.str("template")
	if f := t.fields.Get("template"); f != nil && n.Template != "" {
		n.node = &f.Value
	}
	t.done()
	return n
}

// postURL reads a URL to post to.
func (s *section) postURL(key string) (string, Pos) {
	v, pos := s.str(key)
	if pos.Line == 0 {
		return "", pos
	}
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		s.errorAt(pos, codeBadValue, key, `write "https://HOST/PATH" or "http://HOST:PORT/PATH"`,
			"invalid %s: not an http or https URL", key)
	case u.Fragment != "":
		s.errorAt(pos, codeBadValue, key, "leave out what begins with #", "%s has a fragment, which is never sent", key)
	}
	return v, pos
}

// ownHeaders are those that HTTP itself is in charge of.
var ownHeaders = map[string]bool{"Connection": true, "Content-Length": true, "Trailer": true, "Transfer-Encoding": true}

// headers reads the headers of a request.
func (s *section) headers() (out []Header) {
	if s.fields.Get("headers") == nil {
		s.get("headers")
		return nil
	}
	t := s.table("headers")
	seen := map[string]bool{}
	for i := range t.fields.List {
		f := &t.fields.List[i]
		value, pos := t.str(f.Key)
		name := textproto.CanonicalMIMEHeaderKey(f.Key)
		at := s.p.pos(f.Line, f.Col)
		switch {
		case pos.Line == 0:
			continue
		case !headerName(name):
			t.errorAt(at, codeBadName, f.Key, `write it as "X-Token"`, "invalid header name %q", f.Key)
		case ownHeaders[name]:
			t.errorAt(at, codeBadValue, f.Key, "leave it out", "%s is set by pbr", name)
		case seen[name]:
			t.errorAt(at, codeDuplicateKey, f.Key, "write it once: upper and lower case are the same", "header %s is there twice", name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			t.errorAt(pos, codeBadValue, f.Key, "write one line", "the value of %s has control characters", name)
		}
		seen[name] = true
		out = append(out, Header{name, value})
	}
	t.done()
	return out
}

// headerName reports whether v is a token (RFC 9110, 5.6.2).
func headerName(v string) bool {
	return v != "" && !strings.ContainsFunc(v, func(r rune) bool {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// checkTemplate tries the template of notify with the tables of the file.
func (p *parser) checkTemplate() {
	n := &p.doc.Watch.Notify
	if n.node == nil {
		return
	}
	_, err := message.NewTemplate(n.Template, p.doc.TableNames())
	if wrong := (*message.TemplateError)(nil); errors.As(err, &wrong) {
		pos := p.nodePos(n.node)
		if line := tomltree.LineIn(p.text, n.node, wrong.Line); int(line) != pos.Line {
			pos.Line, pos.Col = int(line), 1
		}
		p.errorf(pos, codeBadValue, "watch.notify.template", "it has "+strings.Join(message.Names(), ", ")+"; docs/notify.md has examples",
			"[watch.notify]: template: %s", wrong.Text)
	}
	n.node = nil
}

// TableNames are the names of all tables, in the file's order, default last.
func (d *Document) TableNames() (names []string) {
	for i := range d.Tables {
		names = append(names, d.Tables[i].Name)
	}
	if d.Default != nil {
		names = append(names, "default")
	}
	return names
}
