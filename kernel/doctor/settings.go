package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/lazy"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
)

// Paths of settings below /proc/sys that are judged besides those that sysctl = true sets.
const (
	pathForward      = "net/ipv4/ip_forward"
	pathAllRPFilter  = "net/ipv4/conf/all/rp_filter"
	pathAllValidMark = "net/ipv4/conf/all/src_valid_mark"
	pathTracked      = "net/netfilter/nf_conntrack_count"
	pathTrackedMax   = "net/netfilter/nf_conntrack_max"
	pathAccounting   = "net/netfilter/nf_conntrack_acct"
)

// Connection tracking is nearly full from 80 %, and as good as full from 95 %. When it is full, the
// kernel drops the first packet of each new connection.
const (
	nearlyFull = 80
	full       = 95
)

// SysctlPaths returns the settings that Examine needs.
func (s *Subject) SysctlPaths(host plan.HostFacts) []string {
	out := []string{pathForward, pathAllRPFilter, pathAllValidMark, pathTracked, pathTrackedMax, pathAccounting}
	for _, set := range s.judged(host) {
		out = append(out, set.Path)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// judged returns the settings with the value that they should have: those of sysctl = true,
// forwarding of each uplink and of every other interface that may have hosts behind it, and the
// setting that lets own addresses in on any interface where the kernel should keep them out.
// Without a policy every interface may be an uplink.
func (s *Subject) judged(host plan.HostFacts) []plan.Sysctl {
	if s.Want == nil {
		out := []plan.Sysctl{{Path: pathForward, Value: "1"}}
		for name := range host.Links {
			if name != "lo" {
				out = append(out, plan.Sysctl{Path: confPath(name, "rp_filter"), Value: "2"})
			}
		}
		sorting.Func(out[1:], func(a, b plan.Sysctl) int { return strings.Compare(a.Path, b.Path) })
		return out
	}
	out := slices.Clone(s.Settings)
	forwards := policy.Forwards(s.Doc)
	for _, u := range s.Doc.Uplinks {
		if forwards {
			out = append(out, plan.Sysctl{Path: confPath(u.Interface, "forwarding"), Value: "1"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(host.Links)) {
		link := host.Links[name]
		if link.Loopback || link.Port || name == "lo" {
			continue
		}
		if forwards && !s.isUplink(name) && slices.ContainsFunc(link.Addrs, netip.Addr.Is4) {
			out = append(out, plan.Sysctl{Path: confPath(name, "forwarding"), Value: "1"})
		}
		closed := plan.Sysctl{Path: confPath(name, "accept_local"), Value: "0"}
		if s.Doc.Settings.ReversePath == policy.ReverseKernel && !slices.Contains(out, closed) {
			out = append(out, closed)
		}
	}
	return out
}

// isUplink reports whether an interface belongs to an uplink.
func (s *Subject) isUplink(name string) bool {
	return slices.ContainsFunc(s.Doc.Uplinks, func(u policy.Uplink) bool { return u.Interface == name })
}

func confPath(link, name string) string { return "net/ipv4/conf/" + link + "/" + name }

// sparedFilter stands for rp_filter where reverse-path leaves the check to pbr and rp_filter is not
// strict; inside stands for forwarding of interfaces that are no uplinks: one may only be for
// managing the router.
const (
	inside       = "forwarding inside"
	sparedFilter = "rp_filter for reverse-path"
	// openCheck stands for accept_local where reverse-path leaves the check to the kernel.
	openCheck   = "accept_local for reverse-path"
	sparedCheck = "the kernel checks each packet's source, although reverse-path leaves that to pbr"
)

// settingKinds are the settings by the last part of their name, with what goes wrong.
var settingKinds = lazy.Value[map[string]settingKind]{Make: func() map[string]settingKind {
	return map[string]settingKind{
		"ip_forward":                  {Fail, "nothing is forwarded"},
		"forwarding":                  {Fail, "what arrives there is not forwarded"},
		inside:                        {Warn, "packets from hosts behind it are not forwarded"},
		"rp_filter":                   {Fail, "the strict check drops packets from an uplink if main would not send the answer there"},
		"src_valid_mark":              {Warn, "the reverse path check ignores the mark"},
		"ignore_routes_with_linkdown": {Warn, "after a lost carrier nothing fails over until pbr watch sees it"},
		"fib_multipath_hash_policy":   {Warn, "all connections between two hosts use the same next hop"},
		"accept_local":                {Warn, sparedCheck},
		sparedFilter:                  {Warn, sparedCheck},
		openCheck: {Warn,
			"packets with one of the router's own addresses as source are accepted, although reverse-path expects the kernel to drop them"},
		"accept_ra": {Fail, "a router that forwards ignores announced default routes, so it learns no gateway"},
	}
}}

// settingKind is how bad a setting's wrong value is, and what goes wrong with it.
type settingKind struct {
	level Level
	why   string
}

// tally collects the settings of a kind.
type tally struct {
	kind, label string
	seen        int
	bad         []plan.Sysctl
	// have returns the wrong values, with their interfaces.
	have []string
}

// settings judges sysctls, one line for all of a kind.
func (e *examination) settings() {
	e.group = groupSettings
	tallies := e.tallies()
	off := slices.ContainsFunc(tallies, func(t *tally) bool { return t.kind == "ip_forward" && t.bad != nil })
	for _, t := range tallies {
		switch {
		case off && (t.kind == "forwarding" || t.kind == inside):
			// ip_forward sets it on all interfaces (ip-sysctl.rst): one cause, one finding.
		case t.bad == nil:
			e.ok(t.label, "%s", fits(t.seen))
		default:
			e.badSetting(t)
		}
	}
	e.hostOnly()
	e.tracking()
	e.unknown("sysctl")
}

// badSetting reports a wrong setting.
func (e *examination) badSetting(t *tally) {
	level, why := e.impact(t.kind)
	e.add(level, t.label, e.howToSet(t.bad), "%s: %s", few(t.have, ", "), why)
}

// impact returns what goes wrong with a wrong setting, and how bad that is.
func (e *examination) impact(kind string) (Level, string) {
	k := settingKinds.Get()[kind]
	switch {
	case e.Want == nil:
		return Warn, k.why
	case kind == "src_valid_mark" && e.Doc != nil && len(refusing(e.Doc)) > 0:
		return Fail, "the reverse path check ignores the mark, so [[rule]]s that refuse packets also drop " +
			"answers of connections that policies route"
	}
	return k.level, k.why
}

// hostOnly reports that forwarding was not checked.
func (e *examination) hostOnly() {
	if e.Doc == nil || policy.Forwards(e.Doc) {
		return
	}
	if e.Doc.Settings.Forward == policy.ForwardOff {
		e.ok("ip_forward", "not checked: forward = false")
		return
	}
	e.ok("ip_forward", "not checked: nothing in the policy is for other hosts (forward = true in [pbr] if this machine is a router)")
}

// tallies returns the existing settings by kind, in the order of the first of each.
func (e *examination) tallies() (kinds []*tally) {
	for _, set := range e.judged(e.facts.Host) {
		have, known := e.facts.Sysctls[set.Path]
		if !known {
			continue
		}
		kind := e.settingKind(set, have)
		setting, label := plan.SettingOf(set.Path), kind
		if setting.Family == plan.IPv6 {
			label += " (IPv6)"
		}
		at := slices.IndexFunc(kinds, func(t *tally) bool { return t.label == label })
		if at < 0 {
			at, kinds = len(kinds), append(kinds, &tally{label: label, kind: kind})
		}
		t := kinds[at]
		t.seen++
		if !e.settingFits(kind, have, set) {
			if t.bad = append(t.bad, set); setting.Interface != "" {
				have = setting.Interface + " has " + have
			}
			t.have = append(t.have, have)
		}
	}
	return kinds
}

// settingKind returns the key of settingKinds for a setting with that value.
func (e *examination) settingKind(set plan.Sysctl, have string) string {
	setting := plan.SettingOf(set.Path)
	switch {
	case setting.Name == "forwarding" && !e.isUplink(setting.Interface):
		return inside
	case setting.Name == "accept_local" && set.Value == "0":
		return openCheck
	case setting.Name != "rp_filter" || set.Value != "0":
		return setting.Name
	}
	uplink := setting.Interface == "all" || e.isUplink(setting.Interface)
	if uplink && e.reversePath(have) == 1 {
		return setting.Name
	}
	return sparedFilter
}

func fits(n int) string {
	if n == 1 {
		return "ok"
	}
	return "ok on all " + strconv.Itoa(n)
}

// settingFits reports whether a value works as well as the wanted one.
func (e *examination) settingFits(kind, have string, want plan.Sysctl) bool {
	setting := plan.SettingOf(want.Path)
	switch kind {
	case "rp_filter":
		return e.reversePath(have) != 1
	case "src_valid_mark":
		check := e.reversePath(e.facts.Sysctls[confPath(setting.Interface, "rp_filter")])
		return check == 0 || max(number(have), number(e.facts.Sysctls[pathAllValidMark])) > 0
	case "ip_forward", "forwarding", inside:
		return have != "0"
	case "fib_multipath_hash_policy":
		return have != "0" || e.Want == nil || !e.shares(setting.Family)
	}
	return have == want.Value
}

// reversePath returns the effective check: the higher of the interface's own value and that of all
// (ip-sysctl.rst).
func (e *examination) reversePath(own string) int {
	return max(number(own), number(e.facts.Sysctls[pathAllRPFilter]))
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// howToSet returns how to set the settings.
func (e *examination) howToSet(settings []plan.Sysctl) string {
	words := make([]string, len(settings))
	ours := e.Want != nil
	for i, s := range settings {
		path := s.Path
		if !strings.Contains(path, ".") { // -- such as a VLAN's name
			path = strings.ReplaceAll(path, "/", ".")
		}
		words[i] = path + "=" + s.Value
		ours = ours && slices.Contains(e.Settings, s)
	}
	by := "sysctl -w " + few(words, " ")
	switch {
	case ours && e.Doc.Settings.Sysctl:
		return "pbr apply (sysctl = true), or " + by
	case ours:
		return by + ", or sysctl = true in [pbr]"
	}
	return by
}

// tracking judges the settings of connection tracking.
func (e *examination) tracking() {
	count, limit := number(e.facts.Sysctls[pathTracked]), number(e.facts.Sysctls[pathTrackedMax])
	if limit > 0 {
		const subject = "nf_conntrack_max"
		text := fmt.Sprintf("%d of %d connections", count, limit)
		do := fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*limit)
		switch used := 100 * count / limit; {
		case used >= full:
			e.add(Fail, subject, do, "%s: new ones are dropped when it is full", text)
		case used >= nearlyFull:
			e.add(Warn, subject, do, "%s: new ones are dropped when it is full", text)
		default:
			e.ok(subject, "%s", text)
		}
	}
	switch e.facts.Sysctls[pathAccounting] {
	case "0":
		e.ok("nf_conntrack_acct", "0: pbr status shows connections without bytes (1 counts them)")
	case "1":
		e.ok("nf_conntrack_acct", "1: pbr status shows bytes")
	}
}
