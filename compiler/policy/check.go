package policy

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"pbr/compiler/policy/internal/tomltree"
)

// Defaults and bounds of [check].
const (
	defaultInterval = time.Second
	defaultTimeout  = time.Second
	minInterval     = 100 * time.Millisecond
	maxInterval     = time.Hour
	minTimeout      = 10 * time.Millisecond
	maxTimeout      = time.Minute
	defaultRounds   = 3
	maxRounds       = 1000
	defaultOver     = 20
)

// check reads [check]: what every uplink's check starts from.
func (p *parser) check(s *section) {
	p.defaults = Check{Method: CheckNone, Multiplier: defaultMultiplier, Interval: defaultInterval, Timeout: defaultTimeout,
		DownAfter: defaultRounds, UpAfter: defaultRounds, Quorum: 1, Over: defaultOver}
	s.parameters(&p.defaults)
	s.done()
}

// parameters reads the keys that [check] and an uplink's check have in common.
func (s *section) parameters(c *Check) {
	c.Interval = s.duration("interval", c.Interval, minInterval, maxInterval)
	c.Timeout = s.duration("timeout", c.Timeout, minTimeout, maxTimeout)
	number := func(key string, v *int) {
		n, _ := s.integer(key, int64(*v), 1, maxRounds)
		*v = int(n)
	}
	number("down-after", &c.DownAfter)
	number("up-after", &c.UpAfter)
	number("quorum", &c.Quorum)
	if s.fields.Get("max-loss") != nil {
		c.MaxLoss = s.percent("max-loss")
	} else {
		s.get("max-loss")
	}
	c.MaxRTT = s.duration("max-rtt", c.MaxRTT, time.Millisecond, maxTimeout)
	c.MaxJitter = s.duration("max-jitter", c.MaxJitter, time.Millisecond, maxTimeout)
	number("over", &c.Over)
}

// CheckMethods returns the methods that check anything.
func CheckMethods() []string { return checkMethods[1:] }

// checkMethods has none first.
var checkMethods = []string{string(CheckNone), string(CheckPing), string(CheckARP), string(CheckTCP), string(CheckDNS),
	string(CheckHTTP), string(CheckBFD)}

// uplinkCheck reads an uplink's check: a method's name, or a table.
func (p *parser) uplinkCheck(s *section, u *Uplink) Check {
	c := p.defaults
	f := s.fields.Get("check")
	if f == nil || f.Value.Kind != tomltree.Table {
		method, pos := s.word("check", string(CheckNone), checkMethods...)
		c.Method, c.Pos = CheckMethod(method), pos
		if c.Method == CheckHTTP {
			s.needs(FeatureCheckHTTP, pos, "check")
		}
		if pos.Line != 0 {
			s.checkTargets(u, &c, nil)
		}
		return c
	}
	s.get("check")
	t := p.section(f.Value.Fields, s.key("check"), s.title()+": check")
	c.Pos = t.pos()
	method, pos := t.word("method", string(CheckPing), checkMethods...)
	if c.Method = CheckMethod(method); c.Method == CheckHTTP {
		t.needs(FeatureCheckHTTP, pos, "method")
	}
	var at []Pos
	for e := range t.entries("targets", neverNegated, false) {
		c.Targets = append(c.Targets, e.text)
		at = append(at, e.pos)
	}
	t.expectation(&c)
	t.multiplier(&c)
	if c.Method == CheckBFD {
		t.sessionParameters(&c)
	} else {
		t.parameters(&c)
	}
	t.checkTargets(u, &c, at)
	t.done()
	return c
}

// checkTargets reports targets that do not fit the method or the uplink, and their lack. at has
// their places.
func (s *section) checkTargets(u *Uplink, c *Check, at []Pos) {
	if c.Method == CheckNone {
		if len(c.Targets) > 0 {
			s.errorAt(at[0], codeConflict, "targets", "name a method, as \"ping\"", "method \"none\" has no targets")
		}
		return
	}
	if c.Method == CheckBFD {
		s.sessionGateway(u, c)
		return
	}
	count := len(c.Targets)
	if count == 0 && s.fields.Get("targets") == nil {
		if count = s.gatewayTargets(u, c); count == 0 {
			return
		}
	}
	for i, target := range c.Targets {
		if f := checkTarget(c.Method, target, u.families()); f != nil {
			s.fault(at[i], "targets", f)
		}
	}
	if count > 0 && c.Quorum > count {
		s.errorAt(s.keyPos("quorum"), codeConflict, "quorum", "name more targets, or ask for fewer",
			"quorum asks for %d answers of %d targets: the uplink could never be up", c.Quorum, count)
	}
}

// gatewayTargets counts the gateways that a check without targets asks, and reports when there are
// none.
func (s *section) gatewayTargets(u *Uplink, c *Check) int {
	example := map[CheckMethod]string{CheckPing: `"8.8.8.8"`, CheckARP: `"192.0.2.1"`, CheckTCP: `"1.1.1.1:443"`,
		CheckDNS: `"9.9.9.9"`, CheckHTTP: `"http://192.0.2.80/"`}[c.Method]
	hint := `write check = { method = "` + string(c.Method) + `", targets = [` + example + `] }`
	if c.Method != CheckPing && c.Method != CheckARP {
		s.errorAt(c.Pos, codeMissingKey, "targets", hint, "a check by %q needs targets", c.Method)
		return 0
	}
	n := 0
	for _, g := range []Gateway{u.Gateway, u.Gateway6} {
		if g.Present && !g.Link {
			n++
		}
	}
	if n == 0 {
		s.errorAt(c.Pos, codeMissingKey, "targets", hint, "there is no gateway that a check could ask")
	}
	return n
}

// checkTarget returns what is wrong with one target.
func checkTarget(method CheckMethod, v string, carried families) *fault {
	var addr netip.Addr
	switch method {
	case CheckTCP:
		ap, err := netip.ParseAddrPort(v)
		if err != nil || ap.Port() == 0 {
			return badValue(`write "1.1.1.1:443" or "[2606:4700::1111]:443"`, "invalid address and port %q", v)
		}
		addr = ap.Addr()
	case CheckDNS:
		ap, err := netip.ParseAddrPort(v)
		if addr = ap.Addr(); err == nil {
			break
		}
		var f *fault
		if addr, f = parseAddr(v); f != nil {
			return badValue(`write a DNS server's address, as "9.9.9.9" or "9.9.9.9:53"`, "invalid address %q", v)
		}
	case CheckHTTP:
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return badValue(`write "http://192.0.2.80/" or "https://example.com/"`, "invalid URL %q", v)
		}
		var perr error
		if addr, perr = netip.ParseAddr(strings.Trim(u.Hostname(), "[]")); perr != nil {
			return nil
		}
	default:
		var f *fault
		if addr, f = parseAddr(v); f != nil {
			f.hint = "write an address; host names are not looked up"
			return f
		}
	}
	if familyOf(addr)&carried == 0 {
		return &fault{codeConflict, v + " is an " + familyOf(addr).String() + " address, and the uplink carries only " +
			carried.String(), ""}
	}
	return nil
}
