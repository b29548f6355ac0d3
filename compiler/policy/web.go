package policy

import (
	"net/netip"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

// web reads both spellings of [watch] web: an address, or a table.
func (p *parser) web(s *section) {
	w := &p.doc.Watch.Web
	f := s.fields.Get("web")
	if f == nil || f.Value.Kind == tomltree.String {
		w.Listen, w.Pos = s.str("web")
		s.checkWeb(s, "web", w)
		return
	}
	if f.Value.Kind != tomltree.Table {
		s.get("web")
		s.wrongType("web", &f.Value, `an address as "127.0.0.1:9810", or { listen = "127.0.0.1:9810", token-file = "/etc/pbr/web.token" }`)
		return
	}
	sub := s.table("web")
	w.Listen, w.Pos = sub.required("listen", "127.0.0.1:9810")
	var pos Pos
	if w.TokenFile, pos = sub.str("token-file"); pos.Line != 0 && !strings.HasPrefix(w.TokenFile, "/") {
		sub.errorAt(pos, codeBadValue, "token-file", `write the absolute path, as "/etc/pbr/web.token"`,
			"invalid token-file %q: not an absolute path", w.TokenFile)
	}
	for e := range sub.entries("hosts", neverNegated, false) {
		if strings.ContainsAny(e.text, "/:@ ") {
			sub.errorAt(e.pos, codeBadValue, "hosts", `write the name alone, as "router.example.org"`, "invalid host name %q", e.text)
			continue
		}
		w.Hosts = append(w.Hosts, strings.ToLower(e.text))
	}
	sub.done()
	sub.checkWeb(s, "listen", w)
}

// checkWeb checks where the page is served; s is the section that says it by key, above is [watch].
func (s *section) checkWeb(above *section, key string, w *Web) {
	if w.Pos.Line == 0 {
		return
	}
	if !validListener(w.Listen) {
		s.errorAt(w.Pos, codeBadValue, key, `write "127.0.0.1:9810", "[::1]:9810" or "unix:/run/pbr/web.sock"`,
			"invalid %s %q: not an address and port", key, w.Listen)
		return
	}
	if w.Listen == s.p.doc.Watch.Metrics {
		s.errorAt(w.Pos, codeConflict, key, `give one of them another port`, "%s and metrics are the same address, %s", key, w.Listen)
	}
	switch {
	case w.Private():
	case w.TokenFile == "":
		above.errorAt(w.Pos, codeMissingKey, "web.token-file", `write web = { listen = "`+w.Listen+
			`", token-file = "/etc/pbr/web.token" }, or an address as "127.0.0.1:9810"; TLS belongs to a proxy in front`,
			"web: other machines reach %s, and token-file is missing", w.Listen)
	default:
		s.p.warnf(w.Pos, codeWebClear, "watch.web", `listen on "127.0.0.1:9810", and let a proxy in front speak TLS: docs/web.md`,
			"web: on %s the token and the page pass in clear text", w.Listen)
	}
}

// Private reports whether only this machine reaches the page: by a loopback address, or by a
// socket.
func (w *Web) Private() bool {
	if strings.HasPrefix(w.Listen, "unix:") {
		return true
	}
	ap, err := netip.ParseAddrPort(w.Listen)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
