package policy

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

// Defaults of [pbr].
const (
	// DefaultMarkMask is the top byte. Others live below it: Tailscale 0x00ff0000, kube-proxy
	// 0x4000 and 0x8000, CNI portmap 0x2000, mwan3 0x3f00, wg-quick 0xca6c, Docker's overlay
	// 0xd0c4e3. Only Calico (0xffff0000) and Cilium (0xffffffff, low bits by default) reach it.
	DefaultMarkMask = 0xff000000
	// DefaultRulePriority is the first owned ip rule priority.
	DefaultRulePriority = 10000
	// DefaultQueue is the number of the queue and log group that DNS answers are read by: the
	// routing protocol's of pbr.
	DefaultQueue = 112
	// maxRulePriority keeps the 1000 owned priorities before main's 32766.
	maxRulePriority = 31000
)

// settings reads [pbr].
func (p *parser) settings(s *section) {
	set := &p.doc.Settings
	mask, pos := s.integer("mark-mask", DefaultMarkMask, 1, math.MaxUint32)
	set.MarkMask, set.MarkMaskPos = uint32(mask), pos
	priority, _ := s.integer("rule-priority", DefaultRulePriority, 1, maxRulePriority)
	set.RulePriority = uint32(priority)
	main, _ := s.word("main-first", "specific", "specific", "connected", "off")
	set.MainFirst = map[string]MainFirst{"specific": MainFirstSpecific, "connected": MainFirstConnected, "off": MainFirstOff}[main]
	p.offload(s)
	set.Sysctl = s.boolean("sysctl", false)
	s.forward()
	p.reversePath(s)
	queue, _ := s.integer("queue", DefaultQueue, 1, math.MaxUint16)
	set.Queue = uint16(queue)
	set.Resolvers = s.hosts("resolvers")
	var at Pos
	if set.Dnsmasq, at = s.str("dnsmasq"); at.Line != 0 && (!strings.HasPrefix(set.Dnsmasq, "/") || strings.HasSuffix(set.Dnsmasq, "/")) {
		s.errorAt(at, codeBadValue, "dnsmasq", `write the absolute path of a file, as "/etc/dnsmasq.d/pbr.conf"`,
			"invalid dnsmasq %q: not an absolute path", set.Dnsmasq)
	}
	onFailover, _ := s.word("on-failover", "flush", "flush", "keep")
	set.FlushOnFailover = onFailover == "flush"
	s.done()
}

// writeForward is the hint for a value that forward does not take.
const writeForward = `write "auto", true or false`

// forward reads forward: a boolean, or "auto".
func (s *section) forward() {
	f := s.get("forward")
	switch {
	case f == nil:
	case f.Value.Kind == tomltree.Bool && f.Value.Bool():
		s.p.doc.Settings.Forward = ForwardOn
	case f.Value.Kind == tomltree.Bool:
		s.p.doc.Settings.Forward = ForwardOff
	case f.Value.Kind == tomltree.String:
		if v := f.Value.Text; v != "auto" {
			hint := writeForward
			if v == "true" || v == "false" {
				hint = fmt.Sprintf("write %s without quotes", v)
			}
			s.errorAt(s.p.nodePos(&f.Value), codeBadValue, "forward", hint, `invalid forward %q: want "auto", true or false`, v)
		}
	default:
		s.wrongType("forward", &f.Value, `"auto", true or false`)
	}
}

// reversePath reads reverse-path, after sysctl.
func (p *parser) reversePath(s *section) {
	set := &p.doc.Settings
	value, pos := s.word("reverse-path", "kernel", "kernel", "nft", "nft-strict")
	set.ReversePath = map[string]ReversePath{"kernel": ReverseKernel, "nft": ReverseNFT, "nft-strict": ReverseStrict}[value]
	if set.ReversePath != ReverseKernel && !set.Sysctl {
		p.warnf(pos, codeReversePath, "pbr.reverse-path", "add sysctl = true, or set them yourself: pbr does not look at them",
			"reverse-path = %q spares the kernel's own check only where net.ipv4.conf.all.accept_local is 1 "+
				"and rp_filter 0, for all and the interface", value)
	}
}

var offloadModes = map[string]OffloadMode{"unmarked": OffloadUnmarked, "all": OffloadAll, "off": OffloadOff}

// offload reads both spellings of offload: a mode, or a table.
func (p *parser) offload(s *section) {
	o := &p.doc.Settings.Offload
	f := s.fields.Get("offload")
	if f != nil && f.Value.Kind != tomltree.Table && f.Value.Kind != tomltree.String {
		s.get("offload")
		s.wrongType("offload", &f.Value, `"unmarked", "all" or "off", or { mode = "all", required = true }`)
		return
	}
	if f == nil || f.Value.Kind == tomltree.String {
		var mode string
		mode, o.Pos = s.word("offload", "unmarked", "unmarked", "all", "off")
		o.Mode = offloadModes[mode]
		return
	}
	sub := s.table("offload")
	o.Pos = sub.pos()
	mode, _ := sub.word("mode", "unmarked", "unmarked", "all", "off")
	o.Mode = offloadModes[mode]
	o.Hardware = sub.boolean("hardware", false)
	o.Required = sub.boolean("required", false)
	sub.done()
	if o.Mode == OffloadOff && (o.Hardware || o.Required) {
		s.errorAt(o.Pos, codeConflict, "offload", `leave mode = "off" alone, or choose another mode`,
			"offload is off, and hardware or required asks for it")
	}
}

// watch reads [watch].
func (p *parser) watch(s *section) {
	w := &p.doc.Watch
	w.Log = "text"
	if s.present() {
		w.Pos = s.pos()
	}
	var pos Pos
	if w.Hook, pos = s.str("hook"); pos.Line != 0 && !strings.HasPrefix(w.Hook, "/") {
		s.errorAt(pos, codeBadValue, "hook", `write the absolute path, as "/etc/pbr/hook"`, "invalid hook %q: not an absolute path", w.Hook)
	}
	if w.Metrics, pos = s.str("metrics"); pos.Line != 0 && !validListener(w.Metrics) {
		s.errorAt(pos, codeBadValue, "metrics", `write "127.0.0.1:9811", "[::1]:9811" or "unix:/run/pbr/metrics.sock"`,
			"invalid metrics %q: not an address and port", w.Metrics)
	}
	s.needs(FeatureMetrics, pos, "metrics")
	w.Log, _ = s.word("log", "text", "text", "json")
	w.Notify = s.notify()
	s.needs(FeatureNotify, w.Notify.Pos, "notify")
	p.web(s)
	s.needs(FeatureWeb, w.Web.Pos, "web")
	s.done()
}

// validListener reports whether it is ADDRESS:PORT, :PORT and unix:/PATH.
func validListener(v string) bool {
	if path, ok := strings.CutPrefix(v, "unix:"); ok {
		return strings.HasPrefix(path, "/")
	}
	if strings.HasPrefix(v, ":") {
		v = "0.0.0.0" + v
	}
	ap, err := netip.ParseAddrPort(v)
	return err == nil && ap.Port() != 0
}
