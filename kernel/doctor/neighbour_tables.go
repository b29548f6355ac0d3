package doctor

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// firewalldTable is firewalld's, as in facts.ReverseFilter.
const firewalldTable = "inet firewalld"

// reverseFilters judges rules that drop a packet if main would not answer through the interface
// that it arrived on.
func (e *examination) reverseFilters() {
	if e.Doc == nil {
		return
	}
	for _, f := range e.facts.ReverseFilters {
		for _, family := range plan.Families {
			lost := e.beside(family)
			if f.Family != 0 && f.Family != family || lost == nil {
				continue
			}
			e.reverseFilter(f, family, lost)
		}
	}
}

func (e *examination) reverseFilter(f facts.ReverseFilter, family plan.Family, lost []string) {
	subject, level := f.Table+" "+f.Chain, Fail
	do := fmt.Sprintf("accept what arrives on the uplinks in a rule before it: "+
		"nft insert rule %s %s handle %d iifname { %s } accept; or compare without iif: fib saddr oif missing",
		f.Table, f.Chain, f.Handle, words(e.interfaces(lost)))
	if f.Table == firewalldTable {
		subject = "firewalld"
		do = "write IPv6_rpfilter=loose into /etc/firewalld/firewalld.conf (IPv6_rpfilter=no before firewalld " +
			"2.0), then systemctl restart firewalld"
	}
	if f.Limited {
		level = Warn
		do = "check whether the uplinks are among those; " + do
	}
	of := ""
	if f.Limited {
		of = " of some interfaces"
	}
	e.add(level, subject, do,
		"rule %d of chain %s (fib saddr . iif oif missing) drops IPv%d packets%s if no unmarked route leads "+
			"back to their source through the interface that they arrived on: answers that arrive on %s are lost",
		f.Handle, f.Chain, family, of, words(lost))
}

// beside returns the uplinks that carry a family and that unmarked packets do not use first, by
// name.
func (e *examination) beside(family plan.Family) (names []string) {
	first := e.firstOfDefault()
	for i := range e.Doc.Uplinks {
		u := &e.Doc.Uplinks[i]
		if compiler.Carries(u, family) && !compiler.MayLack(u, family) && u.Name != first {
			names = append(names, u.Name)
		}
	}
	if first == "" && len(names) < 2 {
		return nil // main uses the only one
	}
	return names
}

// firstOfDefault returns the only uplink at [default]'s lowest distance, empty if there is none.
func (e *examination) firstOfDefault() (name string) {
	if e.Doc.Default == nil {
		return ""
	}
	lowest := uint32(math.MaxUint32)
	for _, r := range e.Doc.Default.Routes {
		switch {
		case r.Distance < lowest:
			lowest, name = r.Distance, r.Uplink
		case r.Distance == lowest:
			name = ""
		}
	}
	return name
}

// interfaces returns the interfaces of uplinks.
func (e *examination) interfaces(uplinks []string) (names []string) {
	for _, u := range e.Doc.Uplinks {
		if slices.Contains(uplinks, u.Name) {
			names = append(names, u.Interface)
		}
	}
	return names
}

// Chains that container engines create.
const (
	dockerUser     = "ip filter DOCKER-USER"
	dockerForward  = "ip filter FORWARD"
	netavarkPrefix = "NETAVARK"
)

// containers judges container engines.
func (e *examination) containers() {
	if e.hasChain(dockerUser) {
		e.docker()
	}
	if slices.ContainsFunc(e.facts.Chains, func(name string) bool { return strings.Contains(strings.ToUpper(name), netavarkPrefix) }) {
		e.ok("podman", "its containers are forwarded as hosts are: policies without from catch them, "+
			"and pbr's nat comes before its masquerade")
	}
}

// docker judges the policy of iptables' FORWARD chain, which Docker sets to drop.
func (e *examination) docker() {
	dropped := slices.ContainsFunc(e.facts.Dropping, func(d facts.DropChain) bool { return d.Table+" "+d.Chain == dockerForward })
	if !dropped || e.Doc != nil && !policy.Forwards(e.Doc) {
		e.ok("Docker", "its containers are forwarded as hosts are: policies without from catch them, "+
			"and pbr's nat comes before its masquerade")
		return
	}
	var out []string
	if e.Doc != nil {
		for _, u := range e.Doc.Uplinks {
			out = append(out, fmt.Sprintf("iptables -I DOCKER-USER -o %s -j ACCEPT", u.Interface))
		}
	}
	out = append(out, "iptables -I DOCKER-USER -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
	e.add(Warn, "Docker", few(out, "; "),
		"has set the policy of iptables' FORWARD to drop: it drops everything from hosts behind this router that no rule there accepts")
}

// keepalivedRuns judges keepalived, which removes addresses and adds them again.
func (e *examination) keepalivedRuns() {
	if !slices.Contains(e.facts.Programs, "keepalived") {
		return
	}
	if e.Doc == nil || e.facts.State.WatchPID != 0 || e.isUnknown("pbr watch") {
		e.ok(string(keepalived), "runs here (VRRP)")
		return
	}
	e.add(Warn, string(keepalived),
		"systemctl enable --now pbr.service, or pbr watch, which restores them at once; "+
			"or run pbr apply from notify_master and notify_backup",
		"runs here (VRRP), and pbr watch does not: when it removes an uplink's last address, "+
			"the kernel deletes pbr's routes over it, and nothing restores them when the address returns")
}

// Main's specific routes count as a full table if they cover a sixteenth of the addresses, or are
// this many.
const (
	fullShare  = 1.0 / 16
	fullRoutes = 1000
)

// fullTable judges main's specific routes, which come before policies with main-first = "specific".
func (e *examination) fullTable() {
	if e.Doc == nil || e.Doc.Settings.MainFirst != policy.MainFirstSpecific ||
		len(e.Doc.Policies)+len(e.Doc.Rules) == 0 && e.Doc.Default == nil {
		return
	}
	for _, m := range e.facts.Main {
		if m.Share < fullShare && m.Routes < fullRoutes {
			continue
		}
		e.add(Warn, "main's full table",
			`write main-first = "connected" into [pbr], then pbr apply: then policies and rules come first, `+
				`and main's routes still come before [default]`,
			"main has %s through %s, for %.0f %% of all IPv%d addresses (static, or from BGP): "+
				"with main-first = \"specific\" they come before policies, rules and [default], which never see that traffic",
			count(m.Routes, "specific route"), m.Dev, 100*m.Share, m.Family)
	}
}

// flushers judges units that flush the whole ruleset.
func (e *examination) flushers() {
	for _, f := range e.facts.Flushers {
		what, do := "runs nft flush ruleset", "systemctl edit --full "+f.Unit+", and make it delete only its own tables"
		if f.File != "" {
			what = "loads " + f.File + ", which begins with flush ruleset"
			do = fmt.Sprintf(`in %s, write "table inet filter" and "delete table inet filter" (for each table `+
				`that it defines) in place of "flush ruleset"`, f.File)
		}
		text := "pbr's table is deleted whenever it is started, reloaded or stopped"
		if e.facts.State.WatchPID != 0 {
			e.add(Warn, f.Unit, do, "%s: %s; pbr watch recreates it, but connections opened in between are lost", what, text)
			continue
		}
		e.add(Warn, f.Unit, do+"; or run pbr watch, which recreates it",
			"%s: %s, and main routes every packet until the next pbr apply", what, text)
	}
}
