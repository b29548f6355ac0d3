package policy

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"pbr/compiler/policy/internal/tomltree"
)

// Defaults and limits of lists' sources.
const (
	defaultRefresh = 24 * time.Hour
	minRefresh     = time.Second
	maxRefresh     = 365 * 24 * time.Hour

	defaultDomainTimeout = time.Hour
	minMemberTimeout     = time.Second
	maxMemberTimeout     = 365 * 24 * time.Hour

	// defaultMembers is a /16 of them. A member takes some 100 bytes of the kernel's memory.
	defaultMembers = 1 << 16
	maxMembers     = 1 << 22
)

const sourceHint = `write { file = "..." }, { url = "..." }, { domains = ["..."] } or { dynamic = true }`

// listTable reads a source that is a table of its own.
func (p *parser) listTable(s *section, l *List, draft *listDraft, fields *tomltree.Fields) {
	t := p.section(fields, s.path+"."+l.Name, s.title())
	src := Source{Pos: t.pos(), Kind: t.sourceKind()}
	before, refs := len(l.Ranges), len(draft.refs)
	switch src.Kind {
	case FromFile:
		src.File = t.fileSource(l, draft)
	case FromURL:
		src.URL = t.urlSource()
		p.listURL(l, &src)
	case FromDomains:
		src.Domains = t.domainSource()
	case FromDynamic:
		src.Dynamic = t.dynamicSource(l)
	}
	src.Entries = len(l.Ranges) - before
	p.keepRanges(l, &src, before)
	common := t.commonKeys()
	t.done()
	l.Comment = joinComments(l.Comment, common.Comment)
	if common.Disabled {
		l.Ranges, draft.refs, draft.disabled = l.Ranges[:before], draft.refs[:refs], true
		p.doc.Disabled = append(p.doc.Disabled, Disabled{src.Pos, "list", l.Name, common.Comment})
		return
	}
	l.Sources = append(l.Sources, src)
}

// joinComments joins those of several tables that are one object.
func joinComments(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// sourceKind returns what kind of source the table is: one of its keys says so. Without one it
// reports an error.
func (t *section) sourceKind() (kind SourceKind) {
	for k := FromFile; k <= FromDynamic; k++ {
		f := t.fields.Get(k.String())
		if f != nil && kind == FromEntries {
			kind = k // whose reader asks for it
			continue
		}
		if t.get(k.String()); f != nil {
			t.errorAt(t.p.pos(f.Line, f.Col), codeConflict, k.String(),
				fmt.Sprintf("write a table of its own for each: [{ %s = ... }, { %s = ... }]", kind, k),
				"%s and %s exclude each other in one table", kind, k)
		}
	}
	if kind == FromEntries {
		t.errorAt(t.pos(), codeMissingKey, "", sourceHint, "a table without a source")
	}
	return kind
}

// fileSource reads { file }, and the file.
func (t *section) fileSource(l *List, draft *listDraft) FileSource {
	file, pos := t.str("file")
	if pos.Line == 0 {
		return FileSource{}
	}
	t.p.listFile(t, l, draft, file, pos)
	return FileSource{Path: file}
}

// urlSource reads { url, refresh, sha256 }.
func (t *section) urlSource() (u URLSource) {
	text, pos := t.str("url")
	if pos.Line != 0 {
		if f := checkURL(text); f != nil {
			t.fault(pos, "url", f)
		}
		u.URL = text
		t.needs(FeatureListURL, pos, "url")
	}
	u.Refresh = t.duration("refresh", defaultRefresh, minRefresh, maxRefresh)
	if sum, pos := t.str("sha256"); pos.Line != 0 {
		u.SHA256 = strings.ToLower(sum)
		if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 {
			t.errorAt(pos, codeBadValue, "sha256", "write what sha256sum prints for the file: 64 hexadecimal digits",
				"invalid sha256 %q", sum)
		}
	}
	return u
}

// checkURL returns what is wrong with the address of a list.
func checkURL(text string) *fault {
	u, err := url.Parse(text)
	hint := `write "https://example.com/list.txt"`
	switch {
	case err != nil || u.Host == "":
		return badValue(hint, "invalid URL %q", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return badValue(hint, "%q: lists are fetched by http and https only", text)
	}
	return nil
}

// domainSource reads { domains, timeout, allow-private, resolvers, size }.
func (t *section) domainSource() (d DomainSource) {
	for e := range t.entries("domains", neverNegated, false) {
		name := domainName(e.text)
		if !validDomain(name) {
			t.errorAt(e.pos, codeBadValue, "domains", domainHint(e.text), "invalid domain name %q", e.text)
			continue
		}
		d.Names = append(d.Names, name)
	}
	d.Timeout = t.duration("timeout", defaultDomainTimeout, minMemberTimeout, maxMemberTimeout)
	d.AllowPrivate = t.boolean("allow-private", false)
	d.Resolvers = t.hosts("resolvers")
	d.Size = t.memberLimit()
	return d
}

// domainHint guesses what was meant by something that is no domain name.
func domainHint(v string) string {
	if _, f := parseRange(v); f == nil {
		return fmt.Sprintf("write addresses into the list itself: [%q, { domains = [...] }]", v)
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r > unicode.MaxASCII }) {
		return `write the name as DNS has it, "xn--...": idn2 prints it`
	}
	if u, err := url.Parse(v); err == nil && u.Host != "" && validDomain(domainName(u.Hostname())) {
		return "write \"" + domainName(u.Hostname()) + "\""
	}
	return `write "example.com": it stands for itself and all names below it`
}

// hosts reads addresses, each of one host.
func (s *section) hosts(key string) (out []netip.Addr) {
	for e := range s.entries(key, neverNegated, false) {
		a, f := parseAddr(e.text)
		if f != nil {
			if _, err := netip.ParseAddr(e.text); err != nil {
				f.hint = `write the address of a host, as "192.168.1.2"`
			}
			s.fault(e.pos, key, f)
			continue
		}
		out = append(out, a)
	}
	return out
}

// dynamicSource reads { dynamic, timeout, size, persist }.
func (t *section) dynamicSource(l *List) DynamicSource {
	if f := t.fields.Get("dynamic"); !t.boolean("dynamic", true) {
		t.errorAt(t.p.nodePos(&f.Value), codeBadValue, "dynamic", "write dynamic = true, or leave the table out", "dynamic is false")
	}
	if l.Dynamic() != nil {
		t.errorAt(t.pos(), codeConflict, "dynamic", "keep one of them", "the list has two dynamic sources")
	}
	d := DynamicSource{Timeout: t.duration("timeout", 0, minMemberTimeout, maxMemberTimeout)}
	d.Size = t.memberLimit()
	d.Persist = t.boolean("persist", false)
	return d
}

// memberLimit reads how many members of each IP version there may be.
func (t *section) memberLimit() int {
	n, _ := t.integer("size", defaultMembers, 1, maxMembers)
	return int(n)
}

// domainName returns a name without its closing dot, in lower case. "*.example.com" is
// "example.com", which stands for all below it, too.
func domainName(v string) string {
	return strings.TrimPrefix(strings.TrimSuffix(strings.ToLower(v), "."), "*.")
}

// validDomain reports whether v is a host name of at least one label (RFC 1035, RFC 1123; "_" is
// seen in practice).
func validDomain(v string) bool {
	if _, err := netip.ParseAddr(v); v == "" || len(v) > 253 || err == nil {
		return false
	}
	for label := range strings.SplitSeq(v, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
